/** Distributions as reports show them. */

export interface Quantiles {
  count: number
  median: number
  p99: number
  max: number
}

/** Nearest rank, rounded. Zeros if there are no values. */
export function quantiles(values: readonly number[]): Quantiles {
  const sorted = ascending(values)
  const at = (share: number): number => round(rank(sorted, share))
  return { count: sorted.length, median: at(0.5), p99: at(0.99), max: at(1) }
}

/** Points [value, share at or below it] of the distribution, at most `points` of them, least and greatest included. */
export function distribution(values: readonly number[], points: number): [number, number][] {
  const sorted = ascending(values)
  const count = Math.min(points, sorted.length)
  return Array.from({ length: count }, (_, i) => {
    const share = count === 1 ? 1 : i / (count - 1)
    return [round(rank(sorted, share)), round(Math.max(share, 1 / sorted.length))]
  })
}

/** Numbers are compared as such, without a function: there may be a million. */
function ascending(values: readonly number[]): Float64Array {
  return Float64Array.from(values).sort()
}

/** Three decimals: what is printed and plotted has no more, and a report stays small. */
export function round(value: number): number {
  return Math.round(value * 1_000) / 1_000
}

function rank(sorted: Float64Array, share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
}
