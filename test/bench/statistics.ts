/**
 * What may be said about a handful of measurements. Benchmark noise on a shared machine is skewed and has outliers, so
 * nothing here assumes a distribution: medians, ratios of runs that lie side by side in time, and the classic interval
 * of the median from order statistics (Thompson 1936; David and Nagaraja, "Order Statistics", 7.1).
 */

export interface Interval {
  low: number
  high: number
  /** Probability with which such an interval holds the true median, whatever the distribution: at least what was asked. */
  coverage: number
}

export interface Summary {
  n: number
  median: number
  min: number
  max: number
  /** Of the median, 95 %; undefined below 6 values, where even the smallest and the largest do not suffice. */
  interval: Interval | undefined
}

export type Target = { atLeast: number } | { atMost: number }

const CONFIDENCE = 0.95

/** @throws RangeError without values, or with one that is no finite number: such a run is no measurement. */
export function median(values: readonly number[]): number {
  const sorted = ascending(values)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/**
 * The interval [x₍ₖ₎, x₍ₙ₊₁₋ₖ₎] with the largest k whose coverage is still enough. Each value lies below the median with
 * probability ½, so the interval misses it when fewer than k values lie on one side:
 *
 *     coverage = 1 − 2 · P(Binomial(n, ½) < k)
 */
export function medianInterval(values: readonly number[], confidence = CONFIDENCE): Interval | undefined {
  const sorted = ascending(values)
  const n = sorted.length
  let best: Interval | undefined
  /** P(Binomial(n, ½) = k − 1), and of all up to there. */
  let mass = 0.5 ** n
  let tail = 0
  for (let k = 1; k <= n / 2; k++) {
    tail += mass
    const coverage = 1 - 2 * tail
    if (coverage < confidence) break
    best = { low: sorted[k - 1]!, high: sorted[n - k]!, coverage }
    mass *= (n - k + 1) / k
  }
  return best
}

/** Pair by pair: what disturbs both halves of a pair alike cancels. */
export function pairedRatios(ours: readonly number[], reference: readonly number[]): number[] {
  if (ours.length !== reference.length) throw new RangeError(`${ours.length} runs cannot pair with ${reference.length}`)
  return ours.map((value, i) => value / reference[i]!)
}

export function summarize(values: readonly number[]): Summary {
  const sorted = ascending(values)
  return {
    n: sorted.length,
    median: median(sorted),
    min: sorted[0]!,
    max: sorted.at(-1)!,
    interval: medianInterval(sorted),
  }
}

/** A target is met if the interval reaches it; without an interval nothing is claimed. */
export function judge(target: Target, { interval }: Summary): 'met' | 'missed' | 'open' {
  if (interval === undefined) return 'open'
  const reaches = 'atLeast' in target ? interval.high >= target.atLeast : interval.low <= target.atMost
  return reaches ? 'met' : 'missed'
}

function ascending(values: readonly number[]): number[] {
  if (values.length === 0 || !values.every(Number.isFinite)) {
    throw new RangeError(`no measurements: [${values.join(', ')}]`)
  }
  return values.toSorted((a, b) => a - b)
}
