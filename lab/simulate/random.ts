/**
 * Seeded randomness: a run is a function of its seed. Every concern (network, arrivals, each member) draws from a
 * stream of its own, named by a label, so that another policy meets the same arrivals and the same losses.
 */

/** Uniform in [0, 1). */
export type Random = () => number

/** sfc32 (C. Doty-Humphrey, PractRand): 128 bits of state, passes BigCrush, a few additions a number. */
export function randomStream(seed: number, label: string): Random {
  let a = hash32(label, seed)
  let b = hash32(label, a ^ 0x9e3779b9)
  let c = hash32(label, b ^ 0x85ebca6b)
  let counter = 1
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return (sum >>> 0) / 2 ** 32
  }
  for (let i = 0; i < WARM_UP_ROUNDS; i++) next()
  return next
}

/** So that seeds which differ by one bit give streams that have nothing in common. */
const WARM_UP_ROUNDS = 15

/** FNV-1a over the text, then MurmurHash3's finaliser. Unsigned 32 bits. */
export function hash32(text: string, seed = 0): number {
  let h = (0x811c9dc5 ^ seed) | 0
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

export function exponential(random: Random, mean: number): number {
  return -mean * Math.log(1 - random())
}

/** Pareto with the given shape, least value and cut-off: heavy-tailed, with a mean that exists. */
export function boundedPareto(random: Random, shape: number, least: number, most: number): number {
  const tail = 1 - random() * (1 - (least / most) ** shape)
  return least / tail ** (1 / shape)
}

/** Shape ≠ 1. */
export function boundedParetoMean(shape: number, least: number, most: number): number {
  const kept = 1 - (least / most) ** shape
  return ((shape / (shape - 1)) * least * (1 - (least / most) ** (shape - 1))) / kept
}

/** Shares of n ranks by Zipf's law, the first the largest; they sum to one. */
export function zipfShares(n: number, exponent: number): number[] {
  const weights = Array.from({ length: n }, (_, rank) => (rank + 1) ** -exponent)
  const whole = weights.reduce((sum, weight) => sum + weight, 0)
  return weights.map((weight) => weight / whole)
}

/** Fisher-Yates, in place. */
export function shuffle<T>(random: Random, items: T[]): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[items[i], items[j]] = [items[j]!, items[i]!]
  }
  return items
}
