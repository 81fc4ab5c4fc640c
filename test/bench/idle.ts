/** What membership costs while nothing happens: CPU, bytes and memory of each daemon of five, over some seconds. */
import { readFileSync } from 'node:fs'
import type { Lab } from '../../lab/lab.ts'
import { interfaceCounts } from './bench-lab.ts'
import { members } from './detect-lab.ts'
import type { Row, Section } from './report.ts'
import { count } from './report.ts'
import { pause } from './run-context.ts'
import type { RunContext } from './run-context.ts'
import { median } from './statistics.ts'

/** USER_HZ, fixed by the kernel's ABI on every architecture that runs this. */
const TICKS_PER_SECOND = 100
/** As many seconds as of four runs: 20 by default. */
const RUNS = 4

export interface IdleCost {
  host: string
  cpuSeconds: number
  seconds: number
  rxBytes: number
  txBytes: number
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

export async function measureIdle(context: RunContext, lab: Lab): Promise<IdleCost[]> {
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
    }
  })
}

async function readAll(lab: Lab): Promise<Omit<IdleCost, 'seconds'>[]> {
  const pids = new Map(lab.toJSON().hosts.map(({ name, daemonPid }) => [name, daemonPid]))
  const readOne = async (host: string): Promise<Omit<IdleCost, 'seconds'>> => {
    const { rxBytes, txBytes } = await interfaceCounts(lab, host)
    const pid = pids.get(host)
    const cpuSeconds = parseCpuSeconds(readFileSync(`/proc/${pid}/stat`, 'latin1'))
    return { host, cpuSeconds, rxBytes, txBytes, rssMiB: parseRssMiB(readFileSync(`/proc/${pid}/status`, 'latin1')) }
  }
  return Promise.all(members(lab).map(readOne))
}

export function idleSection(costs: readonly IdleCost[]): Section {
  const spread = (values: readonly number[], show: (value: number) => string): string[] => [
    show(median(values)),
    show(Math.max(...values)),
  ]
  const share = (value: number): string => `${(value * 100).toFixed(2)} %`
  const rate = (value: number): string => `${count(value)} B/s`
  const rows: Row[] = [
    {
      name: 'CPU of a core',
      cells: [
        'serf 0.3 %',
        ...spread(
          costs.map((c) => c.cpuSeconds / c.seconds),
          share,
        ),
      ],
    },
    {
      name: 'bytes received',
      cells: [
        'serf 345 B/s',
        ...spread(
          costs.map((c) => c.rxBytes / c.seconds),
          rate,
        ),
      ],
    },
    {
      name: 'bytes sent',
      cells: [
        'serf 345 B/s',
        ...spread(
          costs.map((c) => c.txBytes / c.seconds),
          rate,
        ),
      ],
    },
    {
      name: 'resident memory',
      cells: [
        '–',
        ...spread(
          costs.map((c) => c.rssMiB),
          (mib) => `${count(mib)} MiB`,
        ),
      ],
    },
  ]
  return {
    title: 'One daemon of five while nothing happens',
    how: `Over ${costs[0]!.seconds.toFixed(0)} s, whole process, whole interface (ARP announcements and headers included).`,
    columns: ['reference', 'median', 'max'],
    rows,
    remarks: [],
  }
}
