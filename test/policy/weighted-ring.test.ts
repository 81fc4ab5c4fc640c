/** The ring by itself: exact ratios, no clumps, rotation, bounds. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { smoothOrder, weightedRing } from '../../policy/weighted-ring.ts'
import { PROPERTY_RUNS, seeds } from './arbitrary-views.ts'
import { sum } from './reference/service.ts'
import { slotsOf } from './views.ts'

const SLOTS_MAX = 1_024
const members = (weights: readonly number[]) => weights.map((weight, index) => ({ index, weight }))
const countsOf = (ring: readonly number[], members: number) => {
  const slots = slotsOf(ring)
  return Array.from({ length: members }, (_, index) => slots.get(index) ?? 0)
}

const weights = fc
  .array(fc.oneof(fc.nat(20), fc.constantFrom(0, 0.001, 1 / 3, 1_000), fc.double({ min: 0, max: 1, noNaN: true })), {
    minLength: 1,
    maxLength: 40,
  })
  .filter((values) => sum(values) > 1e-6)

describe('the number of slots', () => {
  it.each([
    { when: 'one member', weights: [0.3], slots: [1] },
    { when: 'equal weights', weights: [0.1, 0.1, 0.1], slots: [1, 1, 1] },
    { when: 'small whole numbers', weights: [1, 2, 1, 4], slots: [1, 2, 1, 4] },
    { when: 'a common factor', weights: [2, 4, 6], slots: [1, 2, 3] },
    { when: 'fractions with rounding errors', weights: [0.1, 0.2, 0.7], slots: [1, 2, 7] },
    { when: 'thirds', weights: [1 / 3, 2 / 3], slots: [1, 2] },
    { when: 'weights of zero', weights: [0, 1, 0, 1], slots: [0, 1, 0, 1] },
    { when: 'a rounding error instead of zero', weights: [1e-16, 1, 1], slots: [0, 1, 1] },
    { when: 'only zeros', weights: [0, 0], slots: [0, 0] },
    { when: 'nobody', weights: [], slots: [] },
  ])('is the smallest that is exact: $when', ({ weights, slots }) => {
    expect(countsOf(weightedRing(members(weights), SLOTS_MAX, 5), weights.length)).toEqual(slots)
  })

  it('is the most there may be when no number is exact', () => {
    const ring = weightedRing(members([1, Math.SQRT2]), 10, 0)
    expect(countsOf(ring, 2)).toEqual([4, 6])
  })

  it('leaves nobody out for ever when there are more members than slots', () => {
    const everybody = members(Array.from({ length: 50 }, () => 1))
    const served = new Set<number>()
    for (let seed = 0; seed < 200; seed++) {
      const ring = weightedRing(everybody, 8, seed)
      expect(new Set(ring).size).toBe(8)
      for (const index of ring) served.add(index)
    }
    expect(served.size).toBe(50)
  })
})

describe('for any weights and any seed', () => {
  it('every member has its share to within a slot', () => {
    fc.assert(
      fc.property(weights, seeds, fc.integer({ min: 1, max: SLOTS_MAX }), (weights, seed, slotsMax) => {
        const ring = weightedRing(members(weights), slotsMax, seed)
        expect(ring.length).toBeGreaterThan(0)
        expect(ring.length).toBeLessThanOrEqual(slotsMax)
        countsOf(ring, weights.length).forEach((count, index) => {
          expect(Math.abs(count - (ring.length * weights[index]!) / sum(weights))).toBeLessThan(1)
        })
      }),
      PROPERTY_RUNS,
    )
  })

  it('in any window of the ring, a member has its part of it to within two slots', () => {
    fc.assert(
      fc.property(weights, seeds, fc.integer({ min: 1, max: 128 }), (weights, seed, slotsMax) => {
        const ring = weightedRing(members(weights), slotsMax, seed)
        for (const [index, count] of slotsOf(ring)) expect(worstWindow(ring, index, count)).toBeLessThan(2)
      }),
      { ...PROPERTY_RUNS, numRuns: 100 },
    )
  })

  it('a heavy member and many light ones alternate', () => {
    const ring = weightedRing(members([64, ...Array.from({ length: 64 }, () => 1)]), SLOTS_MAX, 3)
    const heavy = ring.map((index) => index === 0)
    expect(heavy.filter((isHeavy, slot) => isHeavy === heavy[(slot + 1) % ring.length])).toEqual([])
  })

  it('another seed starts the same ring elsewhere', () => {
    const starts = new Set<string>()
    const doubled = weightedRing(members([1, 2, 3, 5]), SLOTS_MAX, 0)
      .join()
      .concat(',')
      .repeat(2)
    for (let seed = 1; seed <= 200; seed++) {
      const ring = weightedRing(members([1, 2, 3, 5]), SLOTS_MAX, seed).join()
      expect(doubled).toContain(ring)
      starts.add(ring)
    }
    expect(starts.size).toBe(11)
  })
})

/** Largest difference, over all windows that may wrap around the end, between a member's slots and its part of them. */
function worstWindow(ring: readonly number[], index: number, count: number): number {
  const share = count / ring.length
  let worst = 0
  for (let first = 0; first < ring.length; first++) {
    let seen = 0
    for (let length = 1; length <= ring.length; length++) {
      if (ring[(first + length - 1) % ring.length] === index) seen++
      worst = Math.max(worst, Math.abs(seen - share * length))
    }
  }
  return worst
}

describe('the order of slots', () => {
  /** The same rule, looking at everybody for each slot. */
  const slowOrder = (counts: readonly number[]): number[] => {
    const slots = sum(counts)
    const seen = counts.map(() => 0)
    return Array.from({ length: slots }, (_, slot) => {
      const open = counts
        .map((count, position) => ({
          position,
          opens: Math.floor((seen[position]! * slots) / count),
          closes: Math.ceil(((seen[position]! + 1) * slots) / count),
        }))
        .filter(({ position, opens }) => seen[position]! < counts[position]! && opens <= slot)
      const { position } = open.reduce((best, one) => (one.closes < best.closes ? one : best))
      seen[position]!++
      return position
    })
  }

  it('is that of the slow rule for any counts', () => {
    const counts = fc
      .array(fc.oneof(fc.nat(3), fc.nat(200)), { minLength: 1, maxLength: 60 })
      .filter((values) => sum(values) > 0)
    fc.assert(
      fc.property(counts, (values) => {
        expect(smoothOrder(values)).toEqual(slowOrder(values))
      }),
      PROPERTY_RUNS,
    )
  })
})
