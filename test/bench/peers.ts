/**
 * What membership costs a node with 50 peers: a process of its own with one member, and 50 more in five processes, all
 * real libp2p on 127.0.0.1, every pair linked, everybody's load changing all the time.
 */
import { readFileSync } from 'node:fs'
import { generateClusterKey } from '../../gossip/cluster-key.ts'
import { Child } from './child.ts'
import { parseCpuSeconds, parseRssMiB } from './idle.ts'
import type { FromHost, ToHost } from './peers-messages.ts'
import type { BenchResult, Row } from './report.ts'
import { count, percent } from './report.ts'
import { pause } from './run-context.ts'
import type { RunContext } from './run-context.ts'

const PEERS = 50
const PROCESSES = 5
/** As many seconds as of four runs: 20 by default. */
const RUNS = 4
const CPU_SHARE_MAX = 0.05
const RSS_MIB_MAX = 200
/** 1,275 handshakes of 20 ms and more at both ends, on few cores. */
const SETTLE_DEADLINE_MS = 240_000
const POLL_MS = 1_000
const STEP_MS = 50
/** Garbage of the handshakes, compilation of what has become hot. */
const REST_MS = 20_000
const ANSWER_MS = 30_000

type Host = Child<ToHost, FromHost>
type Report = Extract<FromHost, { type: 'report' }>

export interface PeersCost {
  seconds: number
  cpuSeconds: number
  rssMiB: number
  settledAfterMs: number
  before: Report
  after: Report
}

export async function benchPeers(context: RunContext): Promise<BenchResult> {
  const hosts: Host[] = []
  const startHost = (): Host => {
    const host: Host = new Child('peers-host-main', context.signal)
    hosts.push(host)
    return host
  }
  try {
    const cost = await measure(context, startHost)
    return { sections: [sectionOf(cost)], raw: cost }
  } finally {
    await Promise.all(hosts.map((host) => host.end()))
  }
}

async function measure(context: RunContext, startHost: () => Host): Promise<PeersCost> {
  const clusterKey = generateClusterKey()
  const startedMs = performance.now()
  const hub = startHost()
  const first = { type: 'start', firstIndex: 0, count: 1, clusterKey, seed: undefined } as const
  const { ports } = await hub.ask(first, 'started', ANSWER_MS)
  const others = Array.from({ length: PROCESSES }, startHost)
  // One after the other, each when the one before is linked to all: 1,275 handshakes at once would take too long for any.
  for (let i = 1; i <= PEERS; i++) {
    const host = others[i % PROCESSES]!
    await host.ask({ ...first, firstIndex: i, seed: ports[0] }, 'started', ANSWER_MS)
    await linked(context, host, i, startedMs)
    if (i % 10 === 0) context.say(`  ${i} peers are linked`)
  }
  await settled(context, [hub, ...others], startedMs)
  const settledAfterMs = performance.now() - startedMs
  context.say(`  every pair linked after ${(settledAfterMs / 1_000).toFixed(0)} s`)
  await pause(context, REST_MS)
  const seconds = context.options.seconds * RUNS
  context.say(`  measuring for ${seconds} s`)
  const before = await reportOf(hub)
  const cpuBefore = cpuOf(hub)
  const fromMs = performance.now()
  await pause(context, seconds * 1_000)
  const cpuSeconds = cpuOf(hub) - cpuBefore
  const took = (performance.now() - fromMs) / 1_000
  const rssMiB = parseRssMiB(readFileSync(`/proc/${hub.pid}/status`, 'latin1'))
  return { seconds: took, cpuSeconds, rssMiB, settledAfterMs, before, after: await reportOf(hub) }
}

/** The member of this process that has the fewest links has this many. */
async function linked(context: RunContext, host: Host, links: number, startedMs: number): Promise<void> {
  for (;;) {
    const report = await reportOf(host)
    if (report.fewestLinks >= links) return
    if (performance.now() - startedMs > SETTLE_DEADLINE_MS) throw new Error(`not linked: ${JSON.stringify(report)}`)
    await pause(context, STEP_MS)
  }
}

async function settled(context: RunContext, hosts: readonly Host[], startedMs: number): Promise<void> {
  for (;;) {
    const reports = await Promise.all(hosts.map(reportOf))
    const done = reports.every((r) => r.fewestLinks === PEERS && r.connections === PEERS && r.notAlive === 0)
    if (done) return
    if (performance.now() - startedMs > SETTLE_DEADLINE_MS) {
      throw new Error(`not every pair is linked: ${JSON.stringify(reports)}`)
    }
    await pause(context, POLL_MS)
  }
}

function reportOf(host: Host): Promise<Report> {
  return host.ask({ type: 'report' }, 'report', ANSWER_MS)
}

function cpuOf(host: Host): number {
  return parseCpuSeconds(readFileSync(`/proc/${host.pid}/stat`, 'latin1'))
}

function sectionOf(cost: PeersCost): BenchResult['sections'][0] {
  const { before, after, seconds } = cost
  const cpuShare = cost.cpuSeconds / seconds
  const rate = (of: (report: Report) => number): string => count((of(after) - of(before)) / seconds)
  const rows: Row[] = [
    {
      name: 'CPU of a core',
      cells: [`≤ ${percent(CPU_SHARE_MAX)}`, percent(cpuShare), met(cpuShare <= CPU_SHARE_MAX)],
    },
    {
      name: 'resident memory',
      cells: [`≤ ${RSS_MIB_MAX} MiB`, `${count(cost.rssMiB)} MiB`, met(cost.rssMiB <= RSS_MIB_MAX)],
    },
    {
      name: 'messages sent, received',
      cells: ['–', `${rate((r) => r.framesSent)}/s, ${rate((r) => r.framesReceived)}/s`, '–'],
    },
    {
      name: 'bytes of messages sent, received',
      cells: ['–', `${rate((r) => r.bytesSent)}/s, ${rate((r) => r.bytesReceived)}/s`, '–'],
    },
  ]
  const remarks = after.notAlive > 0 ? [`${after.notAlive} members were not alive in its view at the end`] : []
  return {
    title: `One node with ${PEERS} peers`,
    how: `Real libp2p on 127.0.0.1, all pairs linked, over ${seconds.toFixed(0)} s, whole process: membership and nothing else.`,
    columns: ['target', 'measured', 'verdict'],
    rows,
    remarks,
  }
}

function met(is: boolean): string {
  return is ? 'met' : 'missed'
}
