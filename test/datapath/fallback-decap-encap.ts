/**
 * The sending end for the namespace test: a classifier that puts an IPIP header before every packet for the published
 * address and sends it out of another interface. Super-packets and partial checksums stay as they are, which is the
 * hardest diet for the decapsulator. Written with the same assembler, plus the stores that only this program needs.
 */
import {
  add,
  addRegister,
  and,
  assemble,
  call,
  copy,
  exit,
  FRAME,
  instruction,
  jump,
  jumpIf,
  label,
  load16,
  load32,
  load8,
  set,
  shiftRight,
  type Instruction,
  type Register,
} from '../../datapath/bpf-loader/assembler.ts'

const store16 = (base: Register, offset: number, src: Register) => instruction(0x6b, base, { src, offset })
const store32 = (base: Register, offset: number, src: Register) => instruction(0x63, base, { src, offset })
/** Of the low 16 bits; the rest becomes zero. */
const swap16 = (dst: Register) => instruction(0xdc, dst, { immediate: 16 })
const xor = (dst: Register, immediate: number) => instruction(0xa7, dst, { immediate })

const SKB_STORE_BYTES = 9
const REDIRECT = 23
const CSUM_DIFF = 28
const SKB_ADJUST_ROOM = 50
const SKB_LOAD_BYTES = 26
const ENCAP_L3_IPV4_FIXED_GSO = 2 | 1
const ETHERNET = 14
/** On the stack: the new frame's first 34 bytes, and 4 spare so that the IPv4 words are aligned. */
const HEAD = -40
const MACS = HEAD + 4
const OUTER = MACS + 16

export interface Encap {
  published: Uint8Array
  source: Uint8Array
  destination: Uint8Array
  sourceMac: Uint8Array
  destinationMac: Uint8Array
  ifindex: number
}

export function encapProgram(to: Encap): Uint8Array {
  const [r0, r1, r2, r3, r4, r5, skb, length] = [0, 1, 2, 3, 4, 5, 6, 7] as const
  const macs = new DataView(Uint8Array.of(...to.destinationMac, ...to.sourceMac).buffer)
  const word = (address: Uint8Array) => new DataView(address.buffer).getUint32(0, true)
  const put = (offset: number, value: number): Instruction[] => [set(r2, value | 0), store32(FRAME, offset, r2)]
  const fold = [copy(r1, r0), and(r1, 0xffff), shiftRight(r0, 16), addRegister(r0, r1)]
  const writeFrame = (at: number, from: number, bytes: number) => [
    copy(r1, skb),
    set(r2, at),
    copy(r3, FRAME),
    add(r3, from),
    set(r4, bytes),
    set(r5, 0),
    call(SKB_STORE_BYTES),
    jumpIf(r0, '!=', 0, 'drop'),
  ]

  return assemble([
    copy(skb, r1),
    copy(r1, skb),
    set(r2, ETHERNET),
    copy(r3, FRAME),
    add(r3, OUTER),
    set(r4, 20),
    call(SKB_LOAD_BYTES),
    jumpIf(r0, '!=', 0, 'pass'),
    load8(r2, FRAME, OUTER),
    jumpIf(r2, '!=', 0x45, 'pass'),
    load32(r2, FRAME, OUTER + 16),
    jumpIf(r2, '==', word(to.published), 'encapsulate'),
    jump('pass'),

    label('encapsulate'),
    load16(length, FRAME, OUTER + 2),
    swap16(length),
    add(length, 20),
    swap16(length),
    copy(r1, skb),
    set(r2, 20),
    set(r3, 1 /* BPF_ADJ_ROOM_MAC */),
    set(r4, ENCAP_L3_IPV4_FIXED_GSO),
    call(SKB_ADJUST_ROOM),
    jumpIf(r0, '!=', 0, 'drop'),

    ...put(OUTER, 0x0000_0045),
    store16(FRAME, OUTER + 2, length),
    ...put(OUTER + 4, 0x0040_0000), // DF
    ...put(OUTER + 8, 0x0000_0440), // TTL 64, protocol 4, checksum to come
    ...put(OUTER + 12, word(to.source)),
    ...put(OUTER + 16, word(to.destination)),
    set(r1, 0),
    set(r2, 0),
    copy(r3, FRAME),
    add(r3, OUTER),
    set(r4, 20),
    set(r5, 0),
    call(CSUM_DIFF),
    ...fold,
    ...fold,
    xor(r0, 0xffff),
    store16(FRAME, OUTER + 10, r0),
    ...[0, 4, 8].flatMap((at) => put(MACS + at, macs.getUint32(at, true))),
    ...writeFrame(0, MACS, 12),
    ...writeFrame(ETHERNET, OUTER, 20),
    set(r1, to.ifindex),
    set(r2, 0),
    call(REDIRECT),
    exit(),

    label('drop'),
    set(r0, 2),
    exit(),
    label('pass'),
    set(r0, -1),
    exit(),
  ])
}
