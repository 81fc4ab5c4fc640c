/**
 * What each policy should answer, straight from its definition: who gets which part of the new flows that do not stay.
 * Shares instead of rings, and a search for λ instead of a rule for it.
 */
import { belief, isInService, mayReceive, meanLoad, sum } from './service.ts'
import { naiveMaglev } from './maglev.ts'
import type { PolicyMember, PolicyName, PolicySettings, PolicyView } from '../../../policy/types.ts'

export interface Expected {
  localLimit: number
  /** Part of the redirected flows by member index; sums to one, or nobody is in it. */
  shares: Map<number, number>
  /** The exact Maglev table of stateless policies and of every fallback. */
  table: number[]
}

export function expected(name: PolicyName, view: PolicyView, settings: PolicySettings): Expected {
  const self = view.members.find((member) => member.self)!
  const receivers = view.members.filter((member) => mayReceive(member, view, settings))
  const peers = receivers.filter((member) => member !== self)
  const table = receivers.length > 0 ? naiveMaglev(receivers, settings.maglevSlots) : [self.index]
  if (name === 'local') return { localLimit: Infinity, shares: new Map(), table: [self.index] }
  if (name === 'above-average' && receivers.includes(self)) {
    return { ...aboveAverage(self, receivers, average(view, settings), settings), table }
  }
  const all = name === 'ring' || name === 'hash'
  return { localLimit: 0, shares: byCapacity(all ? receivers : peers), table }
}

/** A of the view: the mean load of everybody in service. */
export function average(view: PolicyView, settings: PolicySettings): number {
  return meanLoad(
    view.members.filter((member) => isInService(member, view, settings)),
    settings,
  )
}

function byCapacity(members: readonly PolicyMember[]): Map<number, number> {
  const whole = sum(members.map((member) => member.capacity))
  return new Map(members.map((member) => [member.index, member.capacity / whole]))
}

function aboveAverage(self: PolicyMember, receivers: readonly PolicyMember[], A: number, settings: PolicySettings) {
  const C = self.capacityFlows
  const level = A * (1 + settings.tolerance) > settings.minLoad ? A * (1 + settings.tolerance) : settings.minLoad
  const localLimit = Math.ceil(level * C + settings.z * Math.sqrt(A * C))

  const capacityShare = byCapacity(receivers)
  const peers = receivers.filter((member) => member !== self)
  const ramp = (j: PolicyMember) => Math.min(1, j.eligibleForMs / settings.slowStartMs)
  const estimate = (j: PolicyMember) => Math.max(0, j.load + (j.myFlows - j.myFlowsAtReport) / j.capacityFlows)
  const blind = (j: PolicyMember) => (1 - belief(j, settings)) * ramp(j) * capacityShare.get(j.index)!
  const weight = (j: PolicyMember) => belief(j, settings) * ramp(j) * Math.max(0, A - estimate(j)) * j.capacity
  const most = (j: PolicyMember) => 2 * ramp(j) * capacityShare.get(j.index)!
  const shareAt = (lambda: number) => (j: PolicyMember) => Math.min(most(j), blind(j) + lambda * weight(j))

  // The largest λ at which the shares do not exceed the whole, by bisection over its order of magnitude.
  let low = -60
  let high = 60
  for (let step = 0; step < 200; step++) {
    const middle = (low + high) / 2
    if (sum(peers.map(shareAt(2 ** middle))) <= 1) low = middle
    else high = middle
  }
  const shares = new Map(peers.map((j) => [j.index, shareAt(2 ** low)(j)]))
  shares.set(self.index, 1 - sum([...shares.values()]))
  return { localLimit, shares }
}
