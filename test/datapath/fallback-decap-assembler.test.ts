/** The assembler against encodings worked out by hand from the tables of RFC 9669, sections 3 to 5. */
import { describe, expect, test } from 'vitest'
import {
  add,
  addRegister,
  and,
  assemble,
  call,
  copy,
  exit,
  FRAME,
  jump,
  jumpIf,
  jumpIfNull,
  jumpUnlessNull,
  label,
  load16,
  load32,
  load8,
  loadMap,
  set,
  shiftRight,
  type Line,
} from '../../datapath/bpf-loader/assembler.ts'
import { decapProgram } from '../../datapath/host/fallback-decap-program.ts'

const hex = (lines: Line[]) => Buffer.from(assemble(lines)).toString('hex')

describe('one instruction is eight bytes: opcode, registers, offset, immediate', () => {
  test.each<[string, Line, string]>([
    ['set r0 to 0', set(0, 0), 'b7 00 0000 00000000'],
    ['set r0 to -1, sign-extended', set(0, -1), 'b7 00 0000 ffffffff'],
    ['copy r1 to r6: source in the high nibble', copy(6, 1), 'bf 16 0000 00000000'],
    ['copy the frame pointer to r3', copy(3, FRAME), 'bf a3 0000 00000000'],
    ['add -40 to r3', add(3, -40), '07 03 0000 d8ffffff'],
    ['add r1 to r0', addRegister(0, 1), '0f 10 0000 00000000'],
    ['and r2 with 0xf0', and(2, 0xf0), '57 02 0000 f0000000'],
    ['shift r0 right by 16', shiftRight(0, 16), '77 00 0000 10000000'],
    ['load a byte below the frame pointer', load8(2, FRAME, -31), '71 a2 e1ff 00000000'],
    ['load two bytes', load16(2, FRAME, -34), '69 a2 deff 00000000'],
    ['load four bytes from the context', load32(2, 6, 16), '61 62 1000 00000000'],
    ['load a map: two slots, pseudo source 1', loadMap(1, 0x1234), '18 11 0000 34120000 00 00 0000 00000000'],
    ['call helper 50', call(50), '85 00 0000 32000000'],
    ['exit', exit(), '95 00 0000 00000000'],
  ])('%s', (_name, line, bytes) => {
    expect(hex([line])).toBe(bytes.replaceAll(' ', ''))
  })
})

describe('jumps count slots from the one after them', () => {
  test.each<[string, Line[], string]>([
    ['always, over one instruction', [jump('end'), exit(), label('end'), exit()], '05 00 0100 00000000'],
    ['to the next instruction', [jump('end'), label('end'), exit()], '05 00 0000 00000000'],
    ['over a map load, which is two slots', [jump('end'), loadMap(1, 3), label('end'), exit()], '05 00 0200 00000000'],
    ['if equal, 32 bits', [jumpIf(2, '==', 7, 'end'), label('end')], '16 02 0000 07000000'],
    ['if not equal', [jumpIf(2, '!=', 7, 'end'), label('end')], '56 02 0000 07000000'],
    ['if greater', [jumpIf(2, '>', 7, 'end'), label('end')], '26 02 0000 07000000'],
    ['if greater or equal', [jumpIf(2, '>=', 224, 'end'), label('end')], '36 02 0000 e0000000'],
    ['if any bit is set', [jumpIf(2, '&', 0xff3f, 'end'), label('end')], '46 02 0000 3fff0000'],
    ['an immediate of all 32 bits', [jumpIf(2, '==', 0xfffefdfc, 'end'), label('end')], '16 02 0000 fcfdfeff'],
    ['if null, 64 bits', [jumpIfNull(0, 'end'), label('end')], '15 00 0000 00000000'],
    ['unless null', [jumpUnlessNull(0, 'end'), label('end')], '55 00 0000 00000000'],
  ])('%s', (_name, lines, first) => {
    expect(hex(lines).slice(0, 16)).toBe(first.replaceAll(' ', ''))
  })

  test('backwards, with a negative offset', () => {
    expect(hex([label('again'), set(0, 0), jump('again')]).slice(16)).toBe('0500feff00000000')
  })
})

describe('what only a bug can cause throws', () => {
  test('a jump to nowhere', () => {
    expect(() => assemble([jump('nowhere')])).toThrow('no label nowhere')
  })
  test('a label in two places', () => {
    expect(() => assemble([label('twice'), exit(), label('twice'), exit()])).toThrow('label twice')
  })
})

describe('the decapsulator', () => {
  const own = Uint8Array.of(10, 1, 0, 2)
  const program = Buffer.from(decapProgram({ own: [own], membersMap: 0x51, publishedMap: 0x52 })).toString('hex')

  test('compares with the own address in network order: once as destination, once as inner source', () => {
    expect(program.match(/1602....0a010002/g)).toHaveLength(2)
  })
  test('looks in the members twice and in the published addresses once', () => {
    expect(program.match(/1811000051000000/g)).toHaveLength(2)
    expect(program.match(/1811000052000000/g)).toHaveLength(1)
  })
  test('strips 20 bytes at the MAC header, keeping the segment size', () => {
    expect(program).toContain('b7020000ecffffffb703000001000000b7040000010000008500000032000000')
  })
})
