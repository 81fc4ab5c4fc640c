/** What membership costs while nothing happens: CPU, bytes and memory of each daemon of five, over some seconds. */
import { readFileSync } from 'node:fs'
import type { Lab } from '../../lab/lab.ts'
import { interfaceCounts } from './bench-lab.ts'
import { MemberPoll } from './control-poll.ts'
import { members, withFiveMembers } from './detect-lab.ts'
import type { BenchResult, Row, Section } from './report.ts'
import { count } from './report.ts'
import { pause } from './run-context.ts'
import type { RunContext } from './run-context.ts'
import { median } from './statistics.ts'

/** USER_HZ, fixed by the kernel's ABI on every architecture that runs this. */
const TICKS_PER_SECOND = 100
/** As many seconds as of four runs: 20 by default. */
const RUNS = 4
/** What starting leaves to do: dials, first reports, garbage, and code that is still being compiled. */
const SETTLE_MS = 60_000
/** Of a core, of the design's numbers. */
const CPU_SHARE_MAX = 0.015
/** Each way, one of five members. */
const BYTES_PER_SECOND_MAX = 3_000

export interface IdleCost {
  host: string
  cpuSeconds: number
  seconds: number
  rxBytes: number
  txBytes: number
  /** What gossip itself wrote and read, without libp2p, TCP and IP. */
  gossipSentBytes: number
  gossipReceivedBytes: number
  rssMiB: number
}

/** Fields 14 and 15 of /proc/PID/stat, user and system time; counted from the last parenthesis, as names may hold any. */
export function parseCpuSeconds(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

/** VmRSS of /proc/PID/status. */
export function parseRssMiB(status: string): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1_024
}

/** Of `dpr_gossip_bytes_total` in Prometheus' text format. */
export function parseGossipBytes(metrics: string, direction: 'in' | 'out'): number {
  const value = new RegExp(`^dpr_gossip_bytes_total\\{direction="${direction}"\\} (\\S+)$`, 'm').exec(metrics)?.[1]
  if (value === undefined) throw new Error(`no dpr_gossip_bytes_total (${direction}) in the metrics`)
  return Number(value)
}

export async function benchIdle(context: RunContext): Promise<BenchResult> {
  return withFiveMembers(context, async (lab) => {
    await pause(context, SETTLE_MS)
    const costs = await measureIdle(context, lab)
    return { sections: [idleSection(costs)], raw: costs }
  })
}

async function measureIdle(context: RunContext, lab: Lab): Promise<IdleCost[]> {
  const seconds = context.options.seconds * RUNS
  context.say(`  idle for ${seconds} s`)
  const before = await readAll(lab)
  const startedMs = performance.now()
  await pause(context, seconds * 1_000)
  const after = await readAll(lab)
  const took = (performance.now() - startedMs) / 1_000
  return after.map((now, i) => {
    const then = before[i]!
    return {
      ...now,
      seconds: took,
      cpuSeconds: now.cpuSeconds - then.cpuSeconds,
      rxBytes: now.rxBytes - then.rxBytes,
      txBytes: now.txBytes - then.txBytes,
      gossipSentBytes: now.gossipSentBytes - then.gossipSentBytes,
      gossipReceivedBytes: now.gossipReceivedBytes - then.gossipReceivedBytes,
    }
  })
}

async function readAll(lab: Lab): Promise<Omit<IdleCost, 'seconds'>[]> {
  const pids = new Map(lab.toJSON().hosts.map(({ name, daemonPid }) => [name, daemonPid]))
  const readOne = async (host: string): Promise<Omit<IdleCost, 'seconds'>> => {
    const { rxBytes, txBytes } = await interfaceCounts(lab, host)
    const pid = pids.get(host)
    const cpuSeconds = parseCpuSeconds(readFileSync(`/proc/${pid}/stat`, 'latin1'))
    const metrics = await metricsOf(lab, host)
    return {
      host,
      cpuSeconds,
      rxBytes,
      txBytes,
      gossipSentBytes: parseGossipBytes(metrics, 'out'),
      gossipReceivedBytes: parseGossipBytes(metrics, 'in'),
      rssMiB: parseRssMiB(readFileSync(`/proc/${pid}/status`, 'latin1')),
    }
  }
  return Promise.all(members(lab).map(readOne))
}

async function metricsOf(lab: Lab, host: string): Promise<string> {
  const poll = new MemberPoll(lab.paths(host).socket)
  try {
    return await poll.metrics()
  } finally {
    poll.close()
  }
}

export function idleSection(costs: readonly IdleCost[]): Section {
  const share = (value: number): string => `${(value * 100).toFixed(2)} %`
  const rate = (value: number): string => `${count(value)} B/s`
  const row = (name: string, serf: string, of: (cost: IdleCost) => number, show: typeof rate, target?: number): Row => {
    const values = costs.map(of)
    const middle = median(values)
    const verdict = target === undefined ? ['–', '–'] : [`≤ ${show(target)}`, middle <= target ? 'met' : 'missed']
    return { name, cells: [verdict[0]!, show(middle), verdict[1]!, show(Math.max(...values)), serf] }
  }
  return {
    title: 'One daemon of five while nothing happens',
    how: `Over ${costs[0]!.seconds.toFixed(0)} s, whole process, whole interface (ARP announcements and headers included).`,
    columns: ['target', 'median', 'verdict', 'max', 'serf'],
    rows: [
      row('CPU of a core', '0.3 %', (c) => c.cpuSeconds / c.seconds, share, CPU_SHARE_MAX),
      row('bytes received', '345 B/s', (c) => c.rxBytes / c.seconds, rate, BYTES_PER_SECOND_MAX),
      row('bytes sent', '345 B/s', (c) => c.txBytes / c.seconds, rate, BYTES_PER_SECOND_MAX),
      row('gossip alone, received', '–', (c) => c.gossipReceivedBytes / c.seconds, rate),
      row('gossip alone, sent', '–', (c) => c.gossipSentBytes / c.seconds, rate),
      row(
        'resident memory',
        '–',
        (c) => c.rssMiB,
        (mib) => `${count(mib)} MiB`,
      ),
    ],
    remarks: [
      'The daemons run from a checkout: what strips types takes some 35 MiB of each, which an installed package lacks.',
    ],
  }
}
