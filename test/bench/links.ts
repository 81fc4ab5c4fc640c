/** What the kernel counted on the interfaces of a namespace, as `ip -j -s link` tells it. */

export interface LinkCounts {
  rxBytes: number
  rxPackets: number
  rxDropped: number
  txBytes: number
  txPackets: number
  /** For a TAP: frames for which its queue towards the reader had no room. */
  txDropped: number
}

interface LinkJson {
  ifname: string
  stats64?: Record<'rx' | 'tx', { bytes: number; packets: number; dropped: number }>
}

/** @throws Error if the interface is not in the listing */
export function linkCounts(listing: string, name: string): LinkCounts {
  const link = (JSON.parse(listing) as LinkJson[]).find(({ ifname }) => ifname === name)
  if (link?.stats64 === undefined) throw new Error(`no interface ${name} in: ${listing.slice(0, 200)}`)
  const { rx, tx } = link.stats64
  return {
    rxBytes: rx.bytes,
    rxPackets: rx.packets,
    rxDropped: rx.dropped,
    txBytes: tx.bytes,
    txPackets: tx.packets,
    txDropped: tx.dropped,
  }
}
