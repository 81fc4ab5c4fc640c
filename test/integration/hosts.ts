/**
 * Daemons of a bare lab, started one by one by the test itself, which thereby sees their exit codes and complaints; and
 * pictures of everything on a host that a daemon may change.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parse, stringify } from 'yaml'
import type { Lab } from '../../lab/lab.ts'
import { inNamespace } from '../../lab/command.ts'
import { processesInNamespaces } from '../../lab/processes.ts'
import { cleanEnvironment, daemonCommand } from '../../lab/programs.ts'

/** For anything that is polled: far above what a starved machine needs. */
const DEADLINE_MS = 60_000

const POLL_MS = 50

/** Looks again and again until it is right; past the deadline, or when looking throws, it fails. */
export async function eventually<T>(
  what: string,
  look: () => T | Promise<T>,
  isRight: (value: T) => boolean,
): Promise<T> {
  const deadline = performance.now() + DEADLINE_MS
  for (;;) {
    const value = await look()
    if (isRight(value)) return value
    if (performance.now() > deadline) throw new Error(`${what}: still ${JSON.stringify(value)}`)
    await sleep(POLL_MS)
  }
}

const SECTIONS = {
  addresses: 'ip address show',
  routes: 'ip route show table all',
  rules: 'ip rule show',
  qdiscs: 'tc qdisc show',
  filters: 'for d in $(ls /sys/class/net); do tc filter show dev $d ingress; tc filter show dev $d egress; done',
  nft: 'nft list ruleset',
  sysctls: 'sysctl -a 2>/dev/null | grep -E "^net\\.(ipv4|ipv6|core)\\."',
  sockets: 'ss -Hltn | awk "{print \\$4}"; grep -o "@.*" /proc/net/unix',
} as const

type Picture = Record<keyof typeof SECTIONS | 'processes' | 'runtimeFiles', string>

/** Everything on a host that a daemon may change, as text: two of them are equal or the host is not as it was. */
export async function hostPicture(
  lab: Lab,
  host: string,
  runtimeDirectory = lab.paths(host).runtime,
): Promise<Picture> {
  const script = Object.values(SECTIONS)
    .map((command) => `{ ${command}; } 2>/dev/null; echo "$end"`)
    .join('\n')
  const end = '-- end of section --'
  const { stdout } = await lab.exec(host, ['sh', '-c', `end='${end}'; ${script}`])
  const texts = stdout.split(`${end}\n`)
  return {
    ...(Object.fromEntries(Object.keys(SECTIONS).map((name, i) => [name, texts[i]!])) as Picture),
    processes: commandLines(lab, host).join('\n'),
    runtimeFiles: filesIn(runtimeDirectory).join('\n'),
  }
}

export function filesIn(directory: string): string[] {
  try {
    return readdirSync(directory, { recursive: true }).map(String).toSorted()
  } catch {
    return [] // it was never made
  }
}

function commandLines(lab: Lab, host: string): string[] {
  return processesInNamespaces([lab.namespace(host)])
    .map(({ pid }) => commandLine(pid))
    .toSorted()
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
  } catch {
    return 'ended meanwhile'
  }
}

/** Pids of the guards on a host. */
export function guardsOn(lab: Lab, host: string): number[] {
  return processesInNamespaces([lab.namespace(host)])
    .map(({ pid }) => pid)
    .filter((pid) => commandLine(pid).endsWith('dpr-guard'))
}

/** u32 filters that redirect to the device: 0 when the steering is open. */
export async function steeringFilters(lab: Lab, host: string): Promise<number> {
  const { stdout } = await lab.exec(host, ['tc', 'filter', 'show', 'dev', 'eth0', 'ingress'])
  return stdout.split('mirred').length - 1
}

export interface End {
  code: number | null
  signal: NodeJS.Signals | null
}

/** A daemon's process. */
export interface TestDaemon {
  readonly pid: number
  readonly ended: Promise<End>
  isRunning(): boolean
  kill(signal: NodeJS.Signals): void
  /** To its whole process group, as a terminal does. */
  killGroup(signal: NodeJS.Signals): void
  /** All it has written to stderr. */
  stderr(): string
}

export interface StartOptions {
  config?: string
  /** Runs the daemon: it is given the command line as its arguments. */
  wrapper?: readonly string[]
  /** Arguments after `dpr`, instead of `node start --config FILE`. */
  args?: readonly string[]
}

/** Starts a host's daemon. Its standard output is appended to the host's daemon.log. */
export function startNode(lab: Lab, host: string, options: StartOptions = {}): TestDaemon {
  const [dpr, ...usual] = daemonCommand(options.config ?? lab.paths(host).config) as [string, ...string[]]
  const command = [...(options.wrapper ?? []), dpr, ...(options.args ?? usual)]
  const [file, ...args] = inNamespace(lab.namespace(host), command) as [string, ...string[]]
  const log = openSync(lab.paths(host).daemonLog, 'a')
  const child: ChildProcess = spawn(file, args, {
    detached: true,
    stdio: ['ignore', log, 'pipe'],
    env: cleanEnvironment(),
  })
  closeSync(log)
  let stderr = ''
  child.stderr!.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const ended: Promise<End> = once(child, 'close').then(([code, signal]) => ({ code, signal }))
  const pid = child.pid!
  return {
    pid,
    ended,
    isRunning: () => child.exitCode === null && child.signalCode === null,
    kill: (signal) => void child.kill(signal),
    killGroup: (signal) => void process.kill(-pid, signal),
    stderr: () => stderr,
  }
}

/** Starts a host's daemon and waits until it steers. */
export async function startedNode(lab: Lab, host: string, options: StartOptions = {}): Promise<TestDaemon> {
  const daemon = startNode(lab, host, options)
  await steers(lab, host, daemon)
  return daemon
}

/** Waits until a daemon steers; fails at once if it ends. */
export async function steers(lab: Lab, host: string, daemon: TestDaemon): Promise<void> {
  const state = async () => {
    if (!daemon.isRunning()) throw new Error(`the daemon of ${host} has ended: ${daemon.stderr()}`)
    const status = await lab.status(host).catch(() => undefined)
    return status?.pid === daemon.pid ? status.steering : 'not yet'
  }
  await eventually(`steering of ${host}`, state, (steering) => steering === 'on')
}

export async function stopNode(daemon: TestDaemon, signal: NodeJS.Signals = 'SIGTERM'): Promise<End> {
  daemon.kill(signal)
  return await daemon.ended
}

/** How `host` sees `member`. */
export async function seen(lab: Lab, host: string, member: string): Promise<string> {
  const peers = await lab.peers(host).catch(() => [])
  return peers.find(({ name }) => name === member)?.status ?? 'unknown'
}

/** Waits until all these hosts see each other alive. */
export async function agreed(lab: Lab, hosts: readonly string[]): Promise<void> {
  const views = async () => {
    const statuses = await Promise.all(hosts.flatMap((host) => hosts.map((member) => seen(lab, host, member))))
    return statuses.filter((status) => status !== 'alive')
  }
  await eventually('members that are not alive', views, (left) => left.length === 0)
}

/** Which host answers at an address; what curl says about it otherwise. */
export async function answerFrom(lab: Lab, address: string, seconds = 2): Promise<string> {
  const { stdout, stderr } = await lab.exec('client', ['curl', '-sS', '-m', String(seconds), `http://${address}/`])
  return stdout.trim() || stderr.trim()
}

export interface LogLine {
  level: string
  event?: string
  msg: string
  [field: string]: unknown
}

export function logLines(lab: Lab, host: string): LogLine[] {
  return readFileSync(lab.paths(host).daemonLog, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as LogLine)
}

/** Another configuration for a host: the lab's, with top-level keys replaced; undefined removes one. */
export function writeConfig(lab: Lab, host: string, file: string, changes: Readonly<Record<string, unknown>>): string {
  const usual = parse(readFileSync(lab.paths(host).config, 'utf8')) as Record<string, unknown>
  writeFileSync(file, stringify({ ...usual, ...changes }), { mode: 0o644 })
  return file
}
