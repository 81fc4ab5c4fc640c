/**
 * Every metric, as one table: name, type, labels, what it says, and how it is read. metrics.ts makes Prometheus' text of
 * it, and a test compares it with docs/reference/metrics.md. Base units (seconds, bytes, ratios), `_total` for what only
 * grows, as Prometheus' own conventions have it.
 */
import type { Member } from '../gossip/types.ts'
import type { ControlFigures } from './control-plane.ts'
import type { MdnsCounters } from './mdns.ts'
import type { MemberCounts } from './member-counts.ts'
import { countStatuses } from './status.ts'

/** What is looked at when somebody scrapes. */
export interface MetricSource {
  version: string
  name: string
  id: string
  policy: string
  control: ControlFigures
  members: readonly Member[]
  counts: MemberCounts
  /** Counters and gauges of gossip, by name. */
  gossip: Readonly<Record<string, number>>
  lastExchangeAgeMs: number
  mdns: MdnsCounters | undefined
  process: ProcessFigures
}

export interface ProcessFigures {
  userSeconds: number
  systemSeconds: number
  residentBytes: number
  heapUsedBytes: number
  heapTotalBytes: number
  externalBytes: number
  startedSeconds: number
}

/** A value with its labels in the order of the row's label names. */
export type Sample = readonly [value: number, ...labels: string[]]

export interface MetricRow {
  name: string
  type: 'counter' | 'gauge'
  help: string
  labels: readonly string[]
  read: (source: MetricSource) => readonly Sample[]
}

/** Counters of gossip that have a metric of their own; all others are events by name. */
const GOSSIP_FRAMES = { framesSent: 'out', framesReceived: 'in' } as const
const GOSSIP_BYTES = { bytesSent: 'out', bytesReceived: 'in' } as const
const GOSSIP_GAUGES = { links: 'links', connections: 'connections', addresses: 'addresses' } as const
const GOSSIP_NAMED: ReadonlySet<string> = new Set([
  'dials',
  'dialsFailed',
  ...[GOSSIP_FRAMES, GOSSIP_BYTES, GOSSIP_GAUGES].flatMap((names) => Object.keys(names)),
])

function counter(name: string, help: string, labels: string[], read: MetricRow['read']): MetricRow {
  return { name: `dpr_${name}`, type: 'counter', help, labels, read }
}

function gauge(name: string, help: string, labels: string[], read: MetricRow['read']): MetricRow {
  return { name: `dpr_${name}`, type: 'gauge', help, labels, read }
}

/** One sample for each name that gossip counts. */
function named(names: Readonly<Record<string, string>>): MetricRow['read'] {
  return ({ gossip }) =>
    Object.entries(names).flatMap(([counted, label]): Sample[] => {
      const value = gossip[counted]
      return value === undefined ? [] : [[value, label]]
    })
}

/** Names are those that `dpr status` and the operating guide use. */
function byName(values: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(values).map(([name, value]) => [value, name])
}

export const METRICS: readonly MetricRow[] = [
  // -- the node ---------------------------------------------------------------------------------------------------
  gauge('build_info', 'Always 1; the labels say what runs.', ['version', 'name', 'id', 'policy'], (s) => [
    [1, s.version, s.name, s.id, s.policy],
  ]),
  gauge('uptime_seconds', 'Time since the start.', [], (s) => [[s.control.uptimeMs / 1_000]]),
  gauge('start_time_seconds', 'When the process started, seconds since 1970.', [], (s) => [[s.process.startedSeconds]]),
  counter('process_cpu_seconds_total', 'CPU time of the whole process.', ['mode'], (s) => [
    [s.process.userSeconds, 'user'],
    [s.process.systemSeconds, 'system'],
  ]),
  gauge('process_resident_memory_bytes', 'Resident memory of the whole process.', [], (s) => [
    [s.process.residentBytes],
  ]),
  gauge('process_heap_bytes', 'Heap of the main thread; external is what it holds outside.', ['part'], (s) => [
    [s.process.heapUsedBytes, 'used'],
    [s.process.heapTotalBytes, 'total'],
    [s.process.externalBytes, 'external'],
  ]),
  gauge('unsure', '1 while this node doubts what it believes: it announces nothing and keeps new flows.', [], (s) => [
    [s.control.unsure ? 1 : 0],
  ]),

  // -- load and flows -----------------------------------------------------------------------------------------------
  gauge('load_ratio', 'Own utilisation; 1 is what the operator calls full.', [], (s) => [[s.control.load]]),
  gauge('local_limit_flows', 'Active flows below which a new flow stays here; +Inf: all do.', [], (s) => [
    [s.control.localLimit],
  ]),
  gauge('active_flows', 'Flows that end here and count as active.', [], (s) => [[s.control.engine.activeFlows]]),
  gauge('flow_entries', 'Entries of the flow table.', [], (s) => [[s.control.engine.flowEntries]]),
  counter('flows_total', 'New flows of clients by what became of them.', ['placement'], (s) => {
    const { flowsLocal, flowsRedirected, flowsReceived } = s.control.engine.counters
    return [
      [flowsLocal, 'local'],
      [flowsRedirected, 'redirected'],
      [flowsReceived, 'received'],
    ]
  }),
  counter('packets_total', 'Packets through the engine by verdict.', ['verdict'], (s) => {
    const { packetsLocal, packetsMac, packetsIpip, packetsHeld, packetsDropped } = s.control.engine.counters
    return [
      [packetsLocal, 'local'],
      [packetsMac, 'mac'],
      [packetsIpip, 'ipip'],
      [packetsHeld, 'held'],
      [packetsDropped, 'dropped'],
    ]
  }),
  counter('packets_decapsulated_total', 'Packets taken out of tunnels.', [], (s) => [
    [s.control.engine.counters.packetsDecapsulated],
  ]),
  counter('packets_dropped_total', 'Dropped packets by reason.', ['reason'], (s) =>
    byName(s.control.engine.counters.drops),
  ),
  counter('engine_events_total', 'What else the engine did, by name.', ['event'], (s) =>
    byName(s.control.engine.counters.events),
  ),
  gauge('snapshot_version', 'Version of the snapshot that the engine follows.', [], (s) => [
    [s.control.engine.snapshotVersion],
  ]),
  gauge('published_addresses', 'Published addresses of the cluster, and those announced here.', ['role'], (s) => [
    [s.control.published, 'accepted'],
    [s.control.announced, 'announced'],
  ]),

  // -- membership ---------------------------------------------------------------------------------------------------
  gauge('members', 'Members in this node’s view by status, itself included.', ['status'], (s) =>
    byName(countStatuses(s.members.map(({ status }) => status))),
  ),
  gauge(
    'report_age_seconds',
    'Age of the load reports of the living members, the oldest and the mean.',
    ['of'],
    (s) => {
      const ages = s.members.filter((m) => !m.self && m.status === 'alive').map(({ report }) => report.ageMs / 1_000)
      if (ages.length === 0) return []
      return [
        [ages.reduce((a, b) => Math.max(a, b)), 'oldest'],
        [ages.reduce((a, b) => a + b) / ages.length, 'mean'],
      ]
    },
  ),
  gauge('last_exchange_age_seconds', 'Time since a member last answered; +Inf before the first.', [], (s) => [
    [s.lastExchangeAgeMs / 1_000],
  ]),
  counter('member_changes_total', 'Changes of the view by what a member became.', ['change'], (s) =>
    byName(s.counts.changes),
  ),
  counter('member_deaths_total', 'Members declared dead by why.', ['reason'], (s) => byName(s.counts.deaths)),
  counter('strangers_total', 'Connections that were refused, as far as they were logged.', [], (s) => [
    [s.counts.strangers],
  ]),
  counter('twins_total', 'Reports of another node that uses this node’s identity.', [], (s) => [[s.counts.twins]]),
  counter('gossip_frames_total', 'Messages with peers.', ['direction'], named(GOSSIP_FRAMES)),
  counter(
    'gossip_bytes_total',
    'Bytes of these messages, without the transport’s own.',
    ['direction'],
    named(GOSSIP_BYTES),
  ),
  counter('gossip_dials_total', 'Connections tried.', [], ({ gossip }) => [[gossip['dials'] ?? 0]]),
  counter('gossip_dials_failed_total', 'Connections tried in vain.', [], ({ gossip }) => [
    [gossip['dialsFailed'] ?? 0],
  ]),
  gauge(
    'gossip_connections',
    'Peers with a link, open connections, addresses in the dial book.',
    ['of'],
    named(GOSSIP_GAUGES),
  ),
  counter('gossip_events_total', 'What else gossip did, by name.', ['event'], ({ gossip }) =>
    byName(Object.fromEntries(Object.entries(gossip).filter(([name]) => !GOSSIP_NAMED.has(name)))),
  ),
  counter(
    'mdns_events_total',
    'Multicast DNS: questions and answers sent, hints taken, errors.',
    ['event'],
    ({ mdns }) => (mdns === undefined ? [] : byName({ ...mdns })),
  ),
]

/** Lateness of the control loop, by which a starved or stalled process shows; a histogram, so it is kept, not read. */
export const LOOP_LATE = {
  name: 'dpr_control_loop_late_seconds',
  help: 'How late rounds of the control loop began, due every 0.1 s: a starved or stalled process.',
  buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5],
} as const
