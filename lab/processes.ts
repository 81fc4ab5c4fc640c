/**
 * The lab's processes: started detached, remembered by pid and start time, ended for certain. A pid alone proves
 * nothing (it is reused), so nothing is ever signalled whose start time has changed (proc(5), /proc/PID/stat field 22).
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { LabError } from './errors.ts'

export interface ProcessRef {
  readonly pid: number
  /** Start time in clock ticks since boot, as the kernel prints it. */
  readonly startTicks: string
}

const NETNS_DIRECTORY = '/run/netns'
const POLL_MS = 20

/** Start time of a living process; undefined if it is gone or only a zombie that waits for its parent. */
function startTicks(pid: number): string | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return undefined
  }
  return parseStartTicks(stat)
}

/** Field 22 of /proc/PID/stat; the name in field 2 may hold spaces and parentheses, so count from the last one. */
export function parseStartTicks(stat: string): string | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const state = fields[0]
  return state === 'Z' || state === 'X' || state === undefined ? undefined : fields[19]
}

export function processRef(pid: number): ProcessRef | undefined {
  const ticks = startTicks(pid)
  return ticks === undefined ? undefined : { pid, startTicks: ticks }
}

export function isAlive(ref: ProcessRef): boolean {
  return startTicks(ref.pid) === ref.startTicks
}

/** Sends a signal to that very process; false if it is gone. */
export function signal(ref: ProcessRef, name: NodeJS.Signals): boolean {
  if (!isAlive(ref)) return false
  try {
    process.kill(ref.pid, name)
    return true
  } catch {
    return false
  }
}

/** Waits until all of them are gone; returns those that are not by then. */
export async function waitForEnd(refs: readonly ProcessRef[], timeoutMs: number): Promise<ProcessRef[]> {
  const deadline = performance.now() + timeoutMs
  let left = refs.filter(isAlive)
  while (left.length > 0 && performance.now() < deadline) {
    await sleep(POLL_MS)
    left = left.filter(isAlive)
  }
  return left
}

/** All processes inside these namespaces, except the caller itself: `dpr lab exec` may run us in there. */
export function processesInNamespaces(namespaces: readonly string[]): ProcessRef[] {
  const inodes = new Set<string>()
  for (const namespace of namespaces) {
    const stat = statSync(`${NETNS_DIRECTORY}/${namespace}`, { throwIfNoEntry: false })
    if (stat !== undefined) inodes.add(`net:[${stat.ino}]`)
  }
  const refs: ProcessRef[] = []
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue
    let link: string
    try {
      link = readlinkSync(`/proc/${entry}/ns/net`)
    } catch {
      continue // it ended meanwhile
    }
    if (!inodes.has(link)) continue
    const ref = processRef(Number(entry))
    if (ref !== undefined) refs.push(ref)
  }
  return refs
}

/** Names of all network namespaces that `ip netns` knows. */
export function namespaceNames(): string[] {
  try {
    return readdirSync(NETNS_DIRECTORY)
  } catch {
    return []
  }
}

/**
 * Starts a process in a session of its own, with its output appended to a file, that outlives the caller.
 * @throws LabError E_LAB_COMMAND if it cannot be started
 */
export async function spawnDetached(
  argv: readonly string[],
  options: { logFile: string; cwd: string; env: NodeJS.ProcessEnv },
): Promise<ProcessRef> {
  const [file, ...args] = argv as [string, ...string[]]
  const log = openSync(options.logFile, 'a', 0o600)
  try {
    const child = spawn(file, args, {
      detached: true,
      stdio: ['ignore', log, log],
      cwd: options.cwd,
      env: options.env,
    })
    child.unref()
    await once(child, 'spawn')
    const pid = child.pid!
    // Gone already: its log tells why, and a start time that no process has keeps the pid from being signalled.
    return processRef(pid) ?? { pid, startTicks: 'ended' }
  } catch (cause) {
    const remedy = 'install what provides it; `npm run setup` installs everything a lab needs'
    throw new LabError('E_LAB_COMMAND', `cannot start ${argv.join(' ')}`, remedy, cause)
  } finally {
    closeSync(log)
  }
}
