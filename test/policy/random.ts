/** Seeded randomness for tests: the same numbers on every machine and in every run. */

/** Uniform in [0, 1). */
export type Random = () => number

/** Mulberry32: 32 bits of state, good enough for loads and arrivals, and short. */
export function seededRandom(seed: number): Random {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

export function exponential(random: Random, mean: number): number {
  return -mean * Math.log(1 - random())
}

/** Pareto with the given shape, least value and cut-off: heavy-tailed, with a mean that exists. */
export function boundedPareto(random: Random, shape: number, least: number, most: number): number {
  const tail = 1 - random() * (1 - (least / most) ** shape)
  return least / tail ** (1 / shape)
}

export function boundedParetoMean(shape: number, least: number, most: number): number {
  const kept = 1 - (least / most) ** shape
  return ((shape / (shape - 1)) * least * (1 - (least / most) ** (shape - 1))) / kept
}
