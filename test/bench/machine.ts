/** On what the figures were measured: without it they mean nothing. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'

/** Above it somebody else was at work before we began, and absolute figures are too low. */
const LOAD_AVERAGE_MAX = 0.5
/** Of all CPU time, taken away by the hypervisor. */
const STEAL_MAX = 0.02

export interface MachineFacts {
  startedAt: string
  kernel: string
  cores: number
  cpu: string
  memoryMiB: number
  node: string
  /** Over the minute before the start. */
  loadAverage: number
  /** Commit of the checkout, with `+` if files differ from it; null in a package. */
  commit: string | null
}

export function machineFacts(): MachineFacts {
  return {
    startedAt: new Date().toISOString(),
    kernel: release(),
    cores: cpus().length,
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryMiB: Math.round(totalmem() / 1_048_576),
    node: process.version,
    loadAverage: loadavg()[0]!,
    commit: commit(),
  }
}

function commit(): string | null {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no').trim() !== ''
    return git('rev-parse', '--short=12', 'HEAD').trim() + (changed ? '+' : '')
  } catch {
    return null
  }
}

export interface CpuTime {
  /** Ticks of all kinds, and those that the hypervisor gave to others. */
  total: number
  steal: number
}

/** First line of /proc/stat: cpu user nice system idle iowait irq softirq steal (guest times are part of user). */
export function parseCpuTime(stat: string): CpuTime {
  const ticks = stat.slice(0, stat.indexOf('\n')).trim().split(/\s+/).slice(1, 9).map(Number)
  return { total: ticks.reduce((sum, value) => sum + value, 0), steal: ticks[7] ?? 0 }
}

export function cpuTime(): CpuTime {
  return parseCpuTime(readFileSync('/proc/stat', 'utf8'))
}

export function stealShare(from: CpuTime, to: CpuTime): number {
  const total = to.total - from.total
  return total > 0 ? (to.steal - from.steal) / total : 0
}

export function describeMachine(facts: MachineFacts): string[] {
  const { kernel, cores, cpu, memoryMiB, node, loadAverage } = facts
  const lines = [
    `Linux ${kernel}, ${cores} cores of ${cpu}, ${Math.round(memoryMiB / 1_024)} GiB, Node ${node}, ` +
      `commit ${facts.commit ?? 'unknown'}, load average ${loadAverage.toFixed(2)} before the start`,
  ]
  if (loadAverage > LOAD_AVERAGE_MAX) {
    lines.push(
      `WARNING: the machine was not idle (load average above ${LOAD_AVERAGE_MAX}): do not publish these figures`,
    )
  }
  return lines
}

export function describeSteal(share: number): string[] {
  const text = `${(share * 100).toFixed(1)} % of all CPU time went to other guests of the hypervisor`
  return share > STEAL_MAX ? [`WARNING: ${text}: do not publish these figures`] : []
}
