/** Flow entries between the table's arrays and the form in which they are shown and handed over. */
import type { FlowEntry } from '../engine.ts'
import * as flow from '../flow-table.ts'
import type { Routing } from '../routing.ts'

const STATE_NAMES: Readonly<Record<number, FlowEntry['state']>> = {
  [flow.YOUNG]: 'half-open',
  [flow.HALF_OPEN]: 'half-open',
  [flow.ESTABLISHED]: 'established',
  [flow.FIN]: 'fin',
  [flow.RST]: 'rst',
}
const STATE_CODES: Readonly<Record<FlowEntry['state'], number>> = {
  'half-open': flow.HALF_OPEN,
  established: flow.ESTABLISHED,
  fin: flow.FIN,
  rst: flow.RST,
}

export function exportFlows(table: flow.FlowTable, self: number, limit: number): FlowEntry[] {
  const out: FlowEntry[] = []
  for (const entry of table.used()) {
    if (out.length >= limit) break
    const ports = table.ports[entry]!
    const destination = table.destination[entry]!
    out.push({
      protocol: table.protocol[entry] === 17 ? 17 : 6,
      clientAddress: table.client[entry]!,
      clientPort: ports >>> 16,
      publishedAddress: table.published[entry]!,
      publishedPort: ports & 0xffff,
      destination: destination === flow.LOCAL ? self : destination,
      state: STATE_NAMES[table.state[entry]!]!,
    })
  }
  return out
}

/** Adds or replaces entries; those for members that the snapshot does not hold are refused. Returns how many went in. */
export function importFlows(table: flow.FlowTable, routing: Routing, flows: FlowEntry[], nowMs: number): number {
  let taken = 0
  for (const item of flows) {
    const local = item.destination === routing.self
    if (!local && routing.present[item.destination] !== 1) continue
    const ports = ((item.clientPort << 16) | item.publishedPort) >>> 0
    const { clientAddress, publishedAddress, protocol } = item
    const hash = table.hashOf(clientAddress, publishedAddress, ports, protocol)
    const known = table.find(hash, clientAddress, publishedAddress, ports, protocol)
    if (known >= 0) table.remove(known)
    const destination = local ? flow.LOCAL : item.destination
    const generation = local ? 0 : routing.generation[item.destination]!
    const state = STATE_CODES[item.state]
    const entry = table.insert(
      hash,
      clientAddress,
      publishedAddress,
      ports,
      protocol,
      state,
      destination,
      generation,
      nowMs,
    )
    if (entry >= 0) taken++
  }
  return taken
}
