/**
 * The paper's stateless variant (section 3): the client's address and port alone choose the host, so that nothing
 * needs to be remembered about a flow and any node sends its packets to the same place. The paper leaves the function
 * open ("a simple hash function"); a Maglev table moves few flows when a member comes or goes, but those it moves are
 * lost. The ring is that table, `maglevSlots` long, and not rotated: every node must have the same one.
 */
import { whoServes } from './eligibility.ts'
import { fallbackTable } from './fallback.ts'
import { readView } from './readings.ts'
import type { Policy } from './types.ts'

export const hash: Policy = (view, settings) => {
  const service = whoServes(readView(view, settings))
  const table = fallbackTable(service, settings)
  return { localLimit: 0, ring: service.eligible.length > 0 ? table : [], stateless: true, fallback: table }
}
