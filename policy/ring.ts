/**
 * The policy that the paper measured (section 3): no flow is local by right, each new one takes the next entry of a
 * ring of all members, so that a host keeps its own share, 1/N of what reaches it, and passes on the rest. Needs no
 * loads; costs a hop for (N − 1)/N of the flows.
 */
import { whoServes } from './eligibility.ts'
import { fallbackTable } from './fallback.ts'
import { readView } from './readings.ts'
import { weightedRing } from './weighted-ring.ts'
import type { Policy } from './types.ts'

export const ring: Policy = (view, settings, seed) => {
  const service = whoServes(readView(view, settings))
  const weights = service.eligible.map(({ member, capacity }) => ({ index: member.index, weight: capacity }))
  return {
    localLimit: 0,
    ring: weightedRing(weights, settings.ringSlotsMax, seed),
    stateless: false,
    fallback: fallbackTable(service, settings),
  }
}
