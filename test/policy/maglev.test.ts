/** The Maglev table by itself: the paper's own example, the slow reference, evenness, and how little a change moves. */
import { describe, expect, it } from 'vitest'
import { maglevTable } from '../../policy/maglev.ts'
import { readView } from '../../policy/readings.ts'
import type { PolicyMember } from '../../policy/types.ts'
import { naiveMaglev } from './reference/maglev.ts'
import { memberWith, settingsWith, slotsOf } from './views.ts'

const tableOf = (members: readonly PolicyMember[], slots: number) =>
  maglevTable(readView({ members }, settingsWith()), slots)

/** `count` members whose capacities repeat the given ones. */
function cluster(count: number, capacities: readonly number[] = [1]): PolicyMember[] {
  return Array.from({ length: count }, (_, m) => memberWith(m, { capacity: capacities[m % capacities.length]! }))
}

describe('the example of the paper (table 1): offsets 3, 0, 3 and skips 4, 2, 1 in 7 slots', () => {
  const backends = [
    memberWith(0, { hash: [3, 3] }),
    memberWith(1, { hash: [0, 1] }),
    memberWith(2, { hash: [3, 0] }),
  ] as const

  it('with all three backends', () => {
    expect(tableOf(backends, 7)).toEqual([1, 0, 1, 0, 2, 2, 0])
  })

  it('without backend 1, only slot 6 moves that need not', () => {
    expect(tableOf([backends[0], backends[2]], 7)).toEqual([0, 0, 0, 0, 2, 2, 2])
  })
})

const sizes: { count: number; slots: number; capacities: number[] }[] = [
  { count: 1, slots: 101, capacities: [1] },
  { count: 5, slots: 503, capacities: [1] },
  { count: 20, slots: 2_039, capacities: [1] },
  { count: 4, slots: 2_039, capacities: [1, 2, 1, 4] },
  { count: 12, slots: 2_039, capacities: [0.3, 1, 2.5] },
]

describe.each(sizes)('$count members, capacities $capacities, $slots slots', ({ count, slots, capacities }) => {
  const members = cluster(count, capacities)
  const table = tableOf(members, slots)
  const whole = members.reduce((sum, { capacity }) => sum + capacity, 0)

  it('is the table of the slow reference', () => {
    expect(table).toEqual(naiveMaglev(members, slots))
  })

  it('gives everybody its share to within two slots', () => {
    const owned = slotsOf(table)
    for (const { index, capacity } of members) {
      expect(Math.abs(owned.get(index)! - (slots * capacity) / whole)).toBeLessThanOrEqual(2)
    }
  })

  it('is the same from a view in another order', () => {
    expect(tableOf(members.toReversed(), slots)).toEqual(table)
  })
})

/** Of the slots that a removed member did not own, the part that changes hands all the same. */
const NEEDLESS_MOVES_MAX = 0.05

describe.each([
  { count: 5, slots: 2_039, capacities: [1] },
  { count: 20, slots: 2_039, capacities: [1] },
  { count: 20, slots: 2_039, capacities: [1, 2, 3, 7] },
  { count: 300, slots: 32_771, capacities: [1, 2] },
])('one of $count members goes, capacities $capacities, $slots slots', ({ count, slots, capacities }) => {
  it('nearly all slots of the others stay where they are', () => {
    const members = cluster(count, capacities)
    const before = tableOf(members, slots)
    for (let gone = 0; gone < Math.min(count, 20); gone++) {
      const after = tableOf(
        members.filter(({ index }) => index !== gone),
        slots,
      )
      const others = before.flatMap((owner, slot) => (owner === gone ? [] : [slot]))
      const moved = others.filter((slot) => after[slot] !== before[slot])
      expect(moved.length / others.length).toBeLessThan(NEEDLESS_MOVES_MAX)
      expect(after).not.toContain(gone)
    }
  })
})

it('nobody to place: empty', () => {
  expect(tableOf([], 211)).toEqual([])
})

it.each([0, 1, 4, 2.5, NaN, 2_041 * 3])('%d slots are refused: no prime', (slots) => {
  expect(() => tableOf(cluster(2), slots)).toThrow(expect.objectContaining({ code: 'E_POLICY_SETTINGS' }))
})
