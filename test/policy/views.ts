/** Views and settings to test policies with: a healthy member under default settings unless a test says otherwise. */
import { DEFAULTS } from '../../node/defaults.ts'
import { mulberry32 } from '../../lab/load.ts'
import type { Random } from '../../lab/simulate/random.ts'
import type { PolicyMember, PolicySettings, PolicyView } from '../../policy/types.ts'

export function settingsWith(overrides: Partial<PolicySettings> = {}): PolicySettings {
  return {
    name: 'above-average',
    tolerance: DEFAULTS.tolerance,
    z: DEFAULTS.z,
    minLoad: DEFAULTS.minLoad,
    slowStartMs: DEFAULTS.slowStartMs,
    ringSlotsMax: DEFAULTS.ringSlotsMax,
    maglevSlots: DEFAULTS.maglevSlots[0]!,
    reportFreshMs: DEFAULTS.reportFreshMs,
    reportStaleMs: DEFAULTS.reportStaleMs,
    ...overrides,
  }
}

/** Member number `index`, alive and well; index 0 is self. */
export function memberWith(index: number, overrides: Partial<PolicyMember> = {}): PolicyMember {
  const random = mulberry32(0x9e3779b9 * (index + 1))
  return {
    index,
    id: `member-${String(index).padStart(3, '0')}`,
    hash: [uint32(random), uint32(random)],
    self: index === 0,
    status: 'alive',
    health: 'healthy',
    draining: false,
    reachable: true,
    capacity: 1,
    capacityFlows: 1_000,
    load: 0.2,
    reportAgeMs: index === 0 ? 0 : 300,
    myFlows: 0,
    myFlowsAtReport: 0,
    eligibleForMs: Infinity,
    ...overrides,
  }
}

/** One member for each entry, the first of them self. */
export function viewOf(...members: Partial<PolicyMember>[]): PolicyView {
  return { members: members.map((overrides, index) => memberWith(index, overrides)) }
}

/** `count` members alike. */
export function uniformView(count: number, overrides: Partial<PolicyMember> = {}): PolicyView {
  return { members: Array.from({ length: count }, (_, index) => memberWith(index, overrides)) }
}

function uint32(random: Random): number {
  return Math.floor(random() * 2 ** 32)
}

/** Slots of each member index in a ring or a Maglev table. */
export function slotsOf(ring: readonly number[]): Map<number, number> {
  const slots = new Map<number, number>()
  for (const index of ring) slots.set(index, (slots.get(index) ?? 0) + 1)
  return slots
}
