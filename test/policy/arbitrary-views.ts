/** Views as fast-check arbitraries: well-formed ones of every mood, and ones with absurd numbers in them. */
import * as fc from 'fast-check'
import { memberWith } from './views.ts'
import type { PolicyMember, PolicyView } from '../../policy/types.ts'

/** Every property of this room runs on these: fixed, so that a failure is the same for everybody. */
export const PROPERTY_RUNS = { seed: 1998, numRuns: 500 } as const

type Traits = Partial<PolicyMember>

const calm: fc.Arbitrary<Traits> = fc.record({
  capacity: fc.constantFrom(0.5, 1, 1, 1, 2, 4),
  capacityFlows: fc.constantFrom(10, 200, 1_000, 30_000),
  load: fc.oneof(
    fc.constant(0),
    fc.constant(0.5),
    fc.nat(1_500).map((permille) => permille / 1_000),
    fc.constant(40),
  ),
  reportAgeMs: fc.constantFrom(0, 300, 2_000, 2_001, 3_500, 4_999, 5_000, Infinity),
  myFlows: fc.nat(300),
  myFlowsAtReport: fc.nat(300),
  eligibleForMs: fc.constantFrom(0, 1, 2_500, 9_999, 10_000, Infinity, Infinity, Infinity),
})

const troubled: fc.Arbitrary<Traits> = fc
  .tuple(
    calm,
    fc.record({
      status: fc.constantFrom<PolicyMember['status']>('alive', 'alive', 'alive', 'suspect', 'dead', 'left'),
      health: fc.constantFrom<PolicyMember['health']>('healthy', 'healthy', 'healthy', 'failing', 'refused'),
      draining: fc.constantFrom(false, false, false, true),
      reachable: fc.constantFrom(true, true, true, false),
    }),
  )
  .map(([numbers, state]) => ({ ...numbers, ...state }))

const strange = fc.constantFrom(NaN, -1, 0, -Infinity, Infinity, 1e300, Number.MIN_VALUE, 1, 5_000)

const absurd: fc.Arbitrary<Traits> = fc
  .tuple(
    troubled,
    fc.record(
      {
        capacity: strange,
        capacityFlows: strange,
        load: strange,
        reportAgeMs: strange,
        myFlows: strange,
        myFlowsAtReport: strange,
        eligibleForMs: strange,
      },
      { requiredKeys: [] },
    ),
  )
  .map(([sane, numbers]) => ({ ...sane, ...numbers }))

/** Views of one to twelve well-formed members, in good times and bad. */
export const views: fc.Arbitrary<PolicyView> = fc.oneof(viewsOf(calm), viewsOf(troubled))

/** The same with numbers that no member should ever report. */
export const absurdViews: fc.Arbitrary<PolicyView> = viewsOf(absurd)

export const seeds: fc.Arbitrary<number> = fc.integer()

function viewsOf(traits: fc.Arbitrary<Traits>): fc.Arbitrary<PolicyView> {
  return fc
    .tuple(fc.array(traits, { minLength: 1, maxLength: 12 }), fc.nat(), fc.nat(60_000))
    .map(([members, self, firstIndex]) => ({
      members: members.map((member, m) => place(member, m, self % members.length, firstIndex)),
    }))
}

/** Indices, ids and the order in the view are unrelated, as they are in a cluster that has lived for a while. */
function place(traits: Traits, m: number, self: number, firstIndex: number): PolicyMember {
  const index = firstIndex + 3 * m
  const own = m === self ? { self: true, status: 'alive' as const, reachable: true, ...OWN_REPORT } : { self: false }
  return memberWith(index, { ...traits, id: `member-${(m * 5) % 13}`, ...own })
}

const OWN_REPORT = { reportAgeMs: 0, myFlows: 0, myFlowsAtReport: 0 }
