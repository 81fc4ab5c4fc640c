import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { judge, median, medianInterval, pairedRatios, summarize } from './statistics.ts'

const oneTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1)

describe('median', () => {
  it.each([
    { values: [7], is: 7, name: 'of one' },
    { values: [3, 1, 2], is: 2, name: 'of an odd count: the middle one' },
    { values: [10, 9, 1, 2], is: 5.5, name: 'of an even count: between the middle two' },
    { values: [100, 9, 10, 11, 2], is: 10, name: 'sorts as numbers, not as text' },
  ])('$name', ({ values, is }) => expect(median(values)).toBe(is))

  it.each([{ values: [] }, { values: [1, Number.NaN] }, { values: [Infinity] }])('refuses $values', ({ values }) => {
    expect(() => median(values)).toThrow(RangeError)
  })

  it('leaves its argument as it was', () => {
    const values = [3, 1, 2]
    median(values)
    expect(values).toEqual([3, 1, 2])
  })
})

/** Obviously right and slow: every way in which n values can lie below or above the median. */
function coverageByCounting(n: number, k: number): number {
  let held = 0
  for (let sides = 0; sides < 2 ** n; sides++) {
    const below = sides.toString(2).replaceAll('0', '').length
    if (below >= k && n - below >= k) held++
  }
  return held / 2 ** n
}

describe('interval of the median', () => {
  it.each([
    { n: 5, low: undefined, name: 'five pairs do not suffice' },
    { n: 6, low: 1, name: 'six: smallest to largest' },
    { n: 8, low: 1, name: 'eight: still all' },
    { n: 9, low: 2, name: 'nine: without the outermost' },
    { n: 10, low: 2, name: 'ten' },
    { n: 20, low: 6, name: 'twenty' },
    { n: 100, low: 40, name: 'a hundred' },
  ])('$name', ({ n, low }) => {
    const interval = medianInterval(oneTo(n))
    expect(interval?.low).toBe(low)
    expect(interval?.high).toBe(low === undefined ? undefined : n + 1 - low)
  })

  it.each(oneTo(14))('of %i values: as narrow as its coverage allows, counted out', (n) => {
    const interval = medianInterval(oneTo(n))
    const k = interval?.low ?? 0
    if (interval !== undefined) {
      expect(interval.coverage).toBeCloseTo(coverageByCounting(n, k), 12)
      expect(interval.coverage).toBeGreaterThanOrEqual(0.95)
    }
    if (2 * (k + 1) <= n) expect(coverageByCounting(n, k + 1)).toBeLessThan(0.95)
  })

  it('holds the median of the sample and does not depend on the order', () => {
    const sample = fc.array(fc.double({ noNaN: true, min: -1e6, max: 1e6 }), { minLength: 6, maxLength: 40 })
    fc.assert(
      fc.property(sample, (values) => {
        const interval = medianInterval(values)!
        expect(interval.low).toBeLessThanOrEqual(median(values))
        expect(interval.high).toBeGreaterThanOrEqual(median(values))
        expect(medianInterval(values.toReversed())).toEqual(interval)
      }),
      { seed: 36, numRuns: 200 },
    )
  })
})

describe('pairs', () => {
  it('are divided one by one', () => expect(pairedRatios([1, 6], [2, 3])).toEqual([0.5, 2]))
  it('must be complete', () => expect(() => pairedRatios([1], [])).toThrow(RangeError))
  it('with a reference of zero are no measurement', () => {
    expect(() => summarize(pairedRatios([1, 1], [1, 0]))).toThrow(RangeError)
  })
})

describe('a target', () => {
  const around = (low: number, high: number): ReturnType<typeof summarize> =>
    summarize([low, low, low, high, high, high])
  it.each([
    {
      target: { atLeast: 0.75 },
      summary: around(0.7, 0.75),
      verdict: 'met',
      name: 'is met if the interval reaches it',
    },
    { target: { atLeast: 0.75 }, summary: around(0.7, 0.74), verdict: 'missed', name: 'is missed from below' },
    { target: { atMost: 0.3 }, summary: around(0.3, 0.9), verdict: 'met', name: 'that bounds from above is met' },
    {
      target: { atMost: 0.3 },
      summary: around(0.31, 0.9),
      verdict: 'missed',
      name: 'that bounds from above is missed',
    },
    { target: { atMost: 9 }, summary: summarize(oneTo(5)), verdict: 'open', name: 'needs six pairs' },
  ])('$name', ({ target, summary, verdict }) => expect(judge(target, summary)).toBe(verdict))
})
