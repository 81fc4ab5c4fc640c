import { describe, expect, test } from 'vitest'
import { TableCache } from '../../node/table-cache.ts'
import type { PolicyMember, PolicySettings, RoutingTable } from '../../policy/types.ts'

const SETTINGS: PolicySettings = {
  name: 'above-average',
  tolerance: 0,
  z: 0,
  minLoad: 0,
  slowStartMs: 10_000,
  ringSlotsMax: 16,
  maglevSlots: 31,
  reportFreshMs: 2_000,
  reportStaleMs: 5_000,
}
const MEMBERS = {}

function member(changes: Partial<PolicyMember> = {}): PolicyMember {
  return {
    index: 0,
    id: 'a',
    hash: [1, 2],
    self: false,
    status: 'alive',
    health: 'healthy',
    draining: false,
    reachable: true,
    capacity: 1,
    capacityFlows: 100,
    load: 0.5,
    reportAgeMs: 100,
    myFlows: 3,
    myFlowsAtReport: 2,
    eligibleForMs: Infinity,
    ...changes,
  }
}

/** Asks twice; whether the policy was asked the second time, and whether the very same table came back. */
function again(first: Partial<PolicyMember>, second: Partial<PolicyMember>, answers: RoutingTable[], other = MEMBERS) {
  const cache = new TableCache()
  let computed = 0
  const compute = () => structuredClone(answers[computed++]!)
  const one = cache.get(MEMBERS, { members: [member(first)] }, SETTINGS, compute)
  const two = cache.get(other, { members: [member(second)] }, SETTINGS, compute)
  return { computedAgain: computed === 2, same: one === two, table: two }
}

const TABLE: RoutingTable = { localLimit: 5, ring: [1, 2], stateless: false, fallback: [1] }
const OTHER: RoutingTable = { ...TABLE, ring: [2, 1] }

describe('the policy is not asked again', () => {
  const rows: [name: string, first: Partial<PolicyMember>, second: Partial<PolicyMember>][] = [
    ['when nothing has changed', {}, {}],
    ['for a report that is older and still fresh', { reportAgeMs: 0 }, { reportAgeMs: 2_000 }],
    ['for a report that was stale and is staler', { reportAgeMs: 5_000 }, { reportAgeMs: 60_000 }],
    ['for a member that is older than its ramp', { eligibleForMs: 10_000 }, { eligibleForMs: 10_100 }],
    ['for a load that is no number, and still none', { load: NaN }, { load: NaN }],
  ]
  test.each(rows)('%s', (_name, first, second) => {
    expect(again(first, second, [TABLE, OTHER])).toMatchObject({ computedAgain: false, same: true })
  })
})

describe('the policy is asked again', () => {
  const rows: [name: string, second: Partial<PolicyMember>][] = [
    ['for another load', { load: 0.6 }],
    ['for a report that fades', { reportAgeMs: 2_001 }],
    ['for a member on its ramp', { eligibleForMs: 9_999 }],
    ['for a flow more', { myFlows: 4 }],
    ['for another count at the report', { myFlowsAtReport: 3 }],
  ]
  test.each(rows)('%s', (_name, second) => {
    expect(again({}, second, [TABLE, OTHER])).toMatchObject({ computedAgain: true, same: false, table: OTHER })
    expect(again({}, second, [TABLE, TABLE])).toMatchObject({ computedAgain: true, same: true })
  })

  test('for other members, whatever their numbers', () => {
    expect(again({}, {}, [TABLE, OTHER], {})).toMatchObject({ computedAgain: true, table: OTHER })
  })

  test('and what differs in one respect only is another table', () => {
    const changes: Partial<RoutingTable>[] = [
      { localLimit: 6 },
      { ring: [1, 2, 2] },
      { stateless: true },
      { fallback: [2] },
    ]
    for (const change of changes) {
      expect(again({}, { load: 1 }, [TABLE, { ...TABLE, ...change }]).same, JSON.stringify(change)).toBe(false)
    }
  })
})
