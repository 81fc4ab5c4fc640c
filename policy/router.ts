/**
 * The paper's baseline of a centralized connection router: this node serves nothing itself as long as a peer may, and
 * deals new flows to the others by capacity. For comparisons, and for a host that is to be a router only.
 */
import { whoServes } from './eligibility.ts'
import { fallbackTable } from './fallback.ts'
import { readView } from './readings.ts'
import { weightedRing } from './weighted-ring.ts'
import type { Policy } from './types.ts'

export const router: Policy = (view, settings, seed) => {
  const service = whoServes(readView(view, settings))
  const weights = service.eligible
    .filter((reading) => reading !== service.self)
    .map(({ member, capacity }) => ({ index: member.index, weight: capacity }))
  return {
    localLimit: 0,
    ring: weightedRing(weights, settings.ringSlotsMax, seed),
    stateless: false,
    fallback: fallbackTable(service, settings),
  }
}
