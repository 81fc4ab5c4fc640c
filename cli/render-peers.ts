/**
 * `dpr peers` for people: a line for each member, the members as this node sees them.
 */
import type { PeerJson } from '../node/control-api.ts'
import { textTable } from './table.ts'
import type { Column } from './table.ts'
import { duration } from './units.ts'

/** Colours a word by what it means; on anything but a terminal it returns the text as it is. */
export type Paint = (tone: 'good' | 'doubtful' | 'bad', text: string) => string

const COLUMNS: readonly Column[] = [
  { title: 'NAME' },
  { title: 'STATUS' },
  { title: 'ADDRESS' },
  { title: 'LOAD', align: 'right' },
  { title: 'FLOWS', align: 'right' },
  { title: 'MODE' },
  { title: 'NEW FLOWS' },
  { title: 'ANNOUNCES' },
  { title: 'HOMES' },
  { title: 'REPORT', align: 'right' },
]

export function renderPeers(peers: readonly PeerJson[], paint: Paint): string {
  return textTable(
    COLUMNS,
    peers.map((peer) => [
      peer.self ? `${peer.name} (this node)` : peer.name,
      paint(toneOf(peer), statusText(peer)),
      peer.address,
      peer.load.toFixed(2),
      String(peer.flows),
      peer.mode ?? '-',
      peer.eligible ? 'yes' : 'no',
      peer.announces.map(({ address, epoch }) => `${address} (epoch ${epoch})`).join(', ') || '-',
      peer.homes.join(', ') || '-',
      peer.self ? '-' : `${duration(peer.reportAgeMs)} ago`,
    ]),
  )
}

/** `alive`, `dead (daemon-only)`, `alive, draining, unhealthy` */
function statusText(peer: PeerJson): string {
  const status = peer.deadReason === undefined ? peer.status : `${peer.status} (${peer.deadReason})`
  return [status, peer.draining && 'draining', !peer.healthy && 'unhealthy'].filter(Boolean).join(', ')
}

function toneOf(peer: PeerJson): 'good' | 'doubtful' | 'bad' {
  if (peer.status === 'dead' || !peer.healthy) return 'bad'
  return peer.status === 'alive' && !peer.draining ? 'good' : 'doubtful'
}
