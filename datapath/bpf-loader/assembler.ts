/**
 * A few eBPF instructions by name, and labels for their jumps. It exists because a host has no compiler at run time and
 * the one small program that must outlive the daemon is easier to audit as forty named lines than as an object file.
 * Only what such programs need is here. Instruction set: RFC 9669.
 *
 *     0        1         2        4             8
 *     ┌────────┬────┬────┬────────┬─────────────┐
 *     │ opcode │src │dst │ offset │ immediate   │  little-endian hosts; dst is the low nibble
 *     └────────┴────┴────┴────────┴─────────────┘
 *
 * A 64-bit load takes two such slots. Jump offsets count slots from the one after the jump.
 */

/** r0 result, r1 to r5 arguments (lost in a call), r6 to r9 kept, r10 the read-only frame pointer. */
export type Register = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10
export const FRAME: Register = 10

export interface Instruction {
  code: number
  dst: Register
  src: number
  offset: number
  immediate: number
  /** Replaces `offset` when the program is assembled. */
  target?: string
  /** The immediate is 64 bits wide; its upper half is zero. */
  wide?: true
}
export type Line = Instruction | { label: string }

export const SLOT_BYTES = 8

/** Comparisons of the low 32 bits of a register; `&` jumps if any bit of the mask is set. */
const COMPARISONS = { '==': 0x16, '!=': 0x56, '>': 0x26, '>=': 0x36, '&': 0x46 } as const

export function instruction(code: number, dst: Register, rest: Partial<Instruction> = {}): Instruction {
  return { code, dst, src: 0, offset: 0, immediate: 0, ...rest }
}

export const label = (name: string): Line => ({ label: name })

/** The value is sign-extended to 64 bits. */
export const set = (dst: Register, immediate: number) => instruction(0xb7, dst, { immediate })
export const copy = (dst: Register, src: Register) => instruction(0xbf, dst, { src })
export const add = (dst: Register, immediate: number) => instruction(0x07, dst, { immediate })
export const addRegister = (dst: Register, src: Register) => instruction(0x0f, dst, { src })
export const and = (dst: Register, immediate: number) => instruction(0x57, dst, { immediate })
/** Fills with zeros. */
export const shiftRight = (dst: Register, bits: number) => instruction(0x77, dst, { immediate: bits })

/** Loads from memory at `base + offset`, in the host's byte order; the rest of `dst` becomes zero. */
export const load8 = (dst: Register, base: Register, offset: number) => instruction(0x71, dst, { src: base, offset })
export const load16 = (dst: Register, base: Register, offset: number) => instruction(0x69, dst, { src: base, offset })
export const load32 = (dst: Register, base: Register, offset: number) => instruction(0x61, dst, { src: base, offset })

/** The map behind an open descriptor; the kernel puts its address here when it loads the program. */
export const loadMap = (dst: Register, fd: number) =>
  instruction(0x18, dst, { src: 1 /* BPF_PSEUDO_MAP_FD */, immediate: fd, wide: true })

export const jump = (target: string) => instruction(0x05, 0, { target })
/** 32-bit and unsigned, so that an IPv4 address at or above 128.0.0.0 compares equal to itself. */
export const jumpIf = (left: Register, how: keyof typeof COMPARISONS, immediate: number, target: string) =>
  instruction(COMPARISONS[how], left, { immediate, target })
/** On all 64 bits, as the verifier demands of pointers. */
export const jumpIfNull = (pointer: Register, target: string) => instruction(0x15, pointer, { target })
export const jumpUnlessNull = (pointer: Register, target: string) => instruction(0x55, pointer, { target })

export const call = (helper: number) => instruction(0x85, 0, { immediate: helper })
export const exit = () => instruction(0x95, 0)

/** Machine code. A jump to a label that is missing, or a label that is there twice, is a bug of the program's author. */
export function assemble(lines: readonly Line[]): Uint8Array<ArrayBuffer> {
  const labels = new Map<string, number>()
  const placed: { slot: number; instruction: Instruction }[] = []
  let slots = 0
  for (const line of lines) {
    if ('label' in line) {
      if (labels.has(line.label)) throw new Error(`label ${line.label} is there twice`)
      labels.set(line.label, slots)
    } else {
      placed.push({ slot: slots, instruction: line })
      slots += line.wide ? 2 : 1
    }
  }

  const bytes = new Uint8Array(slots * SLOT_BYTES)
  const view = new DataView(bytes.buffer)
  for (const { slot, instruction } of placed) {
    const at = slot * SLOT_BYTES
    view.setUint8(at, instruction.code)
    view.setUint8(at + 1, (instruction.src << 4) | instruction.dst)
    view.setInt16(
      at + 2,
      instruction.target === undefined ? instruction.offset : distance(labels, slot, instruction.target),
      true,
    )
    view.setInt32(at + 4, instruction.immediate, true)
  }
  return bytes
}

function distance(labels: Map<string, number>, slot: number, target: string): number {
  const to = labels.get(target)
  if (to === undefined) throw new Error(`no label ${target} to jump to`)
  return to - slot - 1
}
