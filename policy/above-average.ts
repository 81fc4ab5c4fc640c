/**
 * The default policy, the paper's improved one (section 4.2: "only redirect requests that arrive when the host is loaded
 * above the system average"): flows stay here up to the cluster's average load and go to members below it otherwise.
 *
 *     A          mean load of the members in service, weighted by capacity; reports count as far as they are believed
 *     C          own capacity in flows
 *     localLimit ceil(max(minLoad, A·(1 + tolerance))·C + z·√(A·C))
 *     weight_j   max(0, A − estimate_j)·capacity_j
 *
 * The √ term is the Poisson noise of a count around A·C: with random arrivals, half of the hosts are above the average
 * at any time, and moving flows for that alone would balance nothing. tolerance = z = 0 is the paper to the letter.
 *
 * From weights to the ring, with share_j = capacity_j ÷ the capacity of all who may receive, self included:
 * 1. A member whose report is not fully believed (freshness f < 1) gets (1 − f)·share_j whatever its load.
 * 2. What is left goes to the members by f·weight_j, but nobody gets more than 2·share_j in all: what one may not take
 *    goes to the others below the average. Without the bound, all nodes send to whoever reported least; without the
 *    others, self piles up what the bound refuses: twice the mean when all flows arrive at one of 16 hosts.
 * 3. Slow start multiplies 1, the weight and the bound by the member's ramp.
 * 4. What nobody takes is self's part of the ring.
 *
 * A node that must not serve keeps nothing: localLimit 0 and the eligible peers by capacity, whatever their loads.
 */
import { whoServes } from './eligibility.ts'
import type { Service } from './eligibility.ts'
import { fallbackTable } from './fallback.ts'
import { averageLoad, readView, totalCapacity } from './readings.ts'
import { weightedRing } from './weighted-ring.ts'
import type { WeightedMember } from './weighted-ring.ts'
import type { Policy, PolicySettings } from './types.ts'

/** Bound on a member's part of this node's new flows, in capacity shares. Lower herds less and levels slower. */
const SHARES_MAX = 2
/** Utilisation; what is nearer to the average than this is at it. Loads that are all equal differ by rounding errors. */
const DEFICIT_MIN = 1e-9

export const aboveAverage: Policy = (view, settings, seed) => {
  const service = whoServes(readView(view, settings))
  const average = averageLoad(service.inService)
  const weights = service.selfServes ? sharesBelowAverage(service, average) : byCapacity(service)
  return {
    localLimit: service.selfServes ? limitAt(average, service.self.capacityFlows, settings) : 0,
    ring: weightedRing(weights, settings.ringSlotsMax, seed),
    stateless: false,
    fallback: fallbackTable(service, settings),
  }
}

/** Active flows at which a host of C flows counts as above the average. */
function limitAt(average: number, capacityFlows: number, { minLoad, tolerance, z }: PolicySettings): number {
  const level = Math.max(minLoad, average * (1 + tolerance)) * capacityFlows
  return Math.ceil(level + z * Math.sqrt(average * capacityFlows))
}

function byCapacity({ eligible }: Service): WeightedMember[] {
  return eligible.map(({ member, capacity }) => ({ index: member.index, weight: capacity }))
}

/** Shares of the redirected flows, summing to one; self takes what no peer does. */
function sharesBelowAverage({ self, eligible }: Service, average: number): WeightedMember[] {
  const capacity = totalCapacity(eligible)
  const peers = eligible
    .filter((reading) => reading !== self)
    .map((peer) => {
      const share = (peer.ramp * peer.capacity) / capacity
      const blind = (1 - peer.freshness) * share
      const deficit = average - peer.estimate
      const need = deficit > DEFICIT_MIN ? peer.freshness * peer.ramp * deficit * peer.capacity : 0
      return { index: peer.member.index, blind, need, room: SHARES_MAX * share - blind }
    })
  const left = 1 - peers.reduce((sum, { blind }) => sum + blind, 0)
  const filled = fillWithinRoom(peers, left)
  const weights = peers.map(({ index, blind }, p) => ({ index, weight: blind + filled[p]! }))
  const given = weights.reduce((sum, { weight }) => sum + weight, 0)
  return [...weights, { index: self.member.index, weight: Math.max(0, 1 - given) }]
}

/**
 * Hands out `amount` in proportion to need, nobody more than its room: min(room, λ·need) with the λ that hands out
 * everything, or every room in full if that is not enough. Members are settled in the order in which a growing λ
 * fills their room.
 */
function fillWithinRoom(takers: readonly { need: number; room: number }[], amount: number): number[] {
  const filled = takers.map(() => 0)
  const order = [...takers.keys()]
    .filter((t) => takers[t]!.need > 0)
    .sort((a, b) => takers[a]!.room * takers[b]!.need - takers[b]!.room * takers[a]!.need)
  // Summed from the end, where a running difference would be left with rounding errors to divide by.
  const needFrom = order.map((t) => takers[t]!.need)
  for (let place = order.length - 2; place >= 0; place--) needFrom[place]! += needFrom[place + 1]!
  let left = amount
  order.forEach((t, place) => {
    const { need, room } = takers[t]!
    const taken = Math.min(room, left * (need / needFrom[place]!))
    filled[t] = taken
    left -= taken
  })
  return filled
}
