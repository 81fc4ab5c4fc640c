/**
 * A ring of slots in smooth weighted round-robin order: each member as often as its weight says, and its slots as far
 * apart as they can be, since consecutive slots serve consecutive flows and a burst must not meet one member.
 *
 * The order is the one of R. Tijdeman, "The chairman assignment problem" (Discrete Mathematics 32, 1980), as integer
 * earliest-deadline scheduling. With k of n slots, a member's appearance number c (from 0) belongs into the slots
 *
 *     floor(c·n ÷ k)  ≤  slot  <  ceil((c + 1)·n ÷ k)
 *
 * and giving each slot to the open window that ends first meets every window. After any t slots a member has had t·k/n
 * of them, ±1; in any window of the ring, wherever it was rotated to, its share ±2. (The usual greedy rule, "largest
 * credit next", lets a member fall behind further the more members there are.)
 */
import { LeastFirst } from './least-first.ts'

export interface WeightedMember {
  index: number
  /** ≥ 0, finite; 0 gets no slot. Only the ratios matter. */
  weight: number
}

/** A slot count this close to whole numbers (slots) is taken for exact: far above rounding errors, far below a slot. */
const EXACT_SLOTS = 1e-6
/** A smaller part of the whole is the rounding error of somebody's difference, not a share. */
const SHARE_MIN = 1e-9

/**
 * Member indices in ring order, rotated by the seed. The ring has the fewest slots (≤ slotsMax) that give every
 * member exactly its share; if no number of slots does, slotsMax slots and shares to within one slot. Empty if no
 * weight is positive.
 */
export function weightedRing(members: readonly WeightedMember[], slotsMax: number, seed: number): number[] {
  const whole = members.reduce((sum, { weight }) => sum + weight, 0)
  const weighted = members.filter(({ weight }) => weight > whole * SHARE_MIN)
  if (weighted.length === 0) return []
  const spin = mix32(seed)
  const counts = slotCounts(
    weighted.map(({ weight }) => weight),
    slotsMax,
    spin,
  )
  const order = smoothOrder(counts)
  const first = spin % order.length
  return order.map((_, slot) => weighted[order[(slot + first) % order.length]!]!.index)
}

/** Slots of each weight; their sum is the length of the ring. All weights > 0, at least one. */
function slotCounts(weights: readonly number[], slotsMax: number, spin: number): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  for (let slots = weights.length; slots <= slotsMax; slots++) {
    if (weights.every((weight) => isWhole((weight / total) * slots))) {
      return weights.map((weight) => Math.round((weight / total) * slots))
    }
  }
  return largestRemainders(
    weights.map((weight) => (weight / total) * slotsMax),
    slotsMax,
    spin,
  )
}

function isWhole(slots: number): boolean {
  const whole = Math.round(slots)
  return whole > 0 && Math.abs(slots - whole) < EXACT_SLOTS
}

/**
 * Rounds quotas down and hands the slots left over to the largest remainders. Equal remainders are served from a
 * place that the seed decides: if there are more members than slots, no member is left out by every node for ever.
 */
function largestRemainders(quotas: readonly number[], slots: number, spin: number): number[] {
  const counts = quotas.map((quota) => Math.floor(quota))
  const left = slots - counts.reduce((sum, count) => sum + count, 0)
  const rank = (position: number) => (position + spin) % quotas.length
  const byRemainder = quotas
    .map((quota, position) => ({ position, remainder: quota - Math.floor(quota) }))
    .sort((a, b) => b.remainder - a.remainder || rank(a.position) - rank(b.position))
  for (const { position } of byRemainder.slice(0, left)) counts[position]!++
  return counts
}

/**
 * Positions in slot order: position p appears counts[p] times. Each slot goes to the position whose open window ends
 * first, of several to the lowest one. A window waits in the list of the slot at which it opens, then in the queue.
 */
export function smoothOrder(counts: readonly number[]): number[] {
  const slots = counts.reduce((sum, count) => sum + count, 0)
  const seen = new Uint32Array(counts.length)
  /** Positions whose next window opens at a slot, as linked lists: the first of each slot, the next of each position. */
  const firstAt = new Int32Array(slots + 1).fill(NOBODY)
  const nextOf = new Int32Array(counts.length).fill(NOBODY)
  const open = new LeastFirst(counts.length)
  counts.forEach((count, position) => {
    if (count > 0) open.push(deadline(Math.ceil(slots / count), position, counts.length))
  })
  const order: number[] = []
  for (let slot = 0; slot < slots; slot++) {
    for (let position = firstAt[slot]!; position !== NOBODY; position = nextOf[position]!) {
      const closes = Math.ceil(((seen[position]! + 1) * slots) / counts[position]!)
      open.push(deadline(closes, position, counts.length))
    }
    const next = open.take()! % counts.length
    order.push(next)
    const opens = Math.max(slot + 1, Math.floor((++seen[next]! * slots) / counts[next]!))
    nextOf[next] = firstAt[opens]!
    firstAt[opens] = next
  }
  return order
}

const NOBODY = -1

/** Ordered by the end of the window, then by position; both can be read from it. */
function deadline(closes: number, position: number, positions: number): number {
  return closes * positions + position
}

/** The finalizer of MurmurHash3: seeds that differ by one start far apart. Unsigned 32 bits. */
function mix32(seed: number): number {
  let h = seed | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
