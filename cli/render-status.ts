/**
 * `dpr status` for people: what this node is, what it does, and what is wrong.
 */
import type { KeyJson, StatusJson } from '../node/control-api.ts'
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
    ['membership', membership(status, paint)],
    ['cluster key', keys(status)],
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

function membership({ members, unsure, lastExchangeAgeMs }: StatusJson, paint: Paint): string {
  const counts = Object.entries(members).filter(([status, count]) => count > 0 || status === 'alive')
  const heard =
    lastExchangeAgeMs === null ? 'nobody has answered yet' : `last answer ${duration(lastExchangeAgeMs)} ago`
  const text = `${counts.map(([status, count]) => `${count} ${status}`).join(', ')}; ${heard}`
  return unsure ? `${paint('doubtful', 'unsure')}: announces nothing, new flows stay; ${text}` : text
}

/** `a1b2c3d4 (4 links), accepted besides: 0f0f0f0f (1 link); 5 nodes are allowed` */
function keys({ keys: [first, ...others], allowed }: StatusJson): string {
  if (first === undefined) return 'none'
  const shown = ({ fingerprint, links }: KeyJson): string =>
    `${fingerprint} (${links} ${links === 1 ? 'link' : 'links'})`
  const besides = others.length === 0 ? '' : `, accepted besides: ${others.map(shown).join(', ')}`
  return `${shown(first)}${besides}${allowed === null ? '' : `; ${allowed} ${allowed === 1 ? 'node is' : 'nodes are'} allowed`}`
}

/** A row for each count that is not zero, the largest first. */
function counted(label: string, counts: Readonly<Record<string, number>>): [string, string][] {
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .toSorted(([, a], [, b]) => b - a)
    .map(([name, count]) => [`${label}: ${name}`, String(count)])
}
