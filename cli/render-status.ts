/**
 * `dpr status` for people: what this node is, what it does, and what is wrong.
 */
import type { StatusJson } from '../node/control-api.ts'
import type { Paint } from './render-peers.ts'
import { textTable } from './table.ts'
import { duration } from './units.ts'

export function renderStatus(status: StatusJson, paint: Paint): string {
  const { counters, packets } = status
  const facts: [string, string][] = [
    ['node', `${status.name} (${status.id})`],
    ['version', `${status.version}, process ${status.pid}, up ${duration(status.uptimeMs)}`],
    ['policy', status.policy],
    ['datapath', `${status.datapath}, snapshot ${status.snapshotVersion}`],
    ['steering', paint(status.steering === 'on' ? 'good' : 'bad', status.steering)],
    ['announces', status.announces.join(', ') || 'nothing'],
    ['homes', status.homes.join(', ') || 'none'],
    ['load', `${status.load.toFixed(2)} (cluster ${status.clusterLoad.toFixed(2)})`],
    ['active flows', `${status.activeFlows} (kept here below ${status.localLimit ?? 'any number'})`],
    ['new flows', `${counters.local} local, ${counters.redirected} redirected, ${counters.received} received`],
    [
      'packets',
      `${packets.local} local, ${packets.mac} by mac, ${packets.ipip} by ipip, ` +
        `${packets.decapsulated} decapsulated, ${packets.held} held, ${counters.dropped} dropped`,
    ],
    ...counted('dropped', status.drops),
    ...counted('event', status.events),
    ...status.warnings.map((warning): [string, string] => ['warning', paint('doubtful', warning)]),
  ]
  return textTable([{ title: '' }, { title: '' }], facts)
}

/** A row for each count that is not zero, the largest first. */
function counted(label: string, counts: Readonly<Record<string, number>>): [string, string][] {
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .toSorted(([, a], [, b]) => b - a)
    .map(([name, count]) => [`${label}: ${name}`, String(count)])
}
