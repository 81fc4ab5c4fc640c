/**
 * Two network namespaces joined by a cable: a host with lo and eth0, and a client. Names are unique per process, and
 * everything is removed again.
 */
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import type { HostInterface } from '../../../datapath/host/plan.ts'
import type { HostAnswer, HostRequest } from './host-program.ts'

export const HOST_ADDRESS = '10.77.0.1'
export const CLIENT_ADDRESS = '10.77.0.9'
export const HOST_MAC = '02:00:00:00:77:01'
export const CLIENT_MAC = '02:00:00:00:77:09'
export const DEVICE = 'dpr0'

const HERE = import.meta.dirname
let made = 0

export interface HostProgram {
  readonly pid: number
  readonly child: ChildProcess
  ask(request: HostRequest): Promise<HostAnswer>
  /** Asks and expects success. */
  must(request: HostRequest): Promise<string[]>
  /** SIGKILL, and waits until the process is gone. */
  kill(): Promise<void>
}

export interface TestHost {
  readonly runtimeDirectory: string
  readonly namespace: string
  readonly clientNamespace: string
  readonly eth0: HostInterface
  /** Runs a command line in the host's namespace and returns its output. */
  run(command: string): string
  runInClient(command: string): string
  /** Like `run`, without waiting. */
  start(command: readonly string[], where?: 'host' | 'client', env?: Record<string, string>): ChildProcess
  program(options?: { path?: string; wrapper?: readonly string[] }): HostProgram
  /** Everything that a host setup may have changed, as text. */
  state(): string
  destroy(): void
}

export function createTestHost(): TestHost {
  const id = `${process.pid}-${(made += 1)}`
  const namespace = `dprhost-${id}`
  const clientNamespace = `dprclient-${id}`
  const runtimeDirectory = mkdtempSync(join(tmpdir(), 'dpr-host-'))
  const children = new Set<ChildProcess>()
  const shell = (ns: string, command: string) =>
    execFileSync('nsenter', [`--net=/var/run/netns/${ns}`, 'sh', '-c', command], { encoding: 'utf8' })

  function destroy(): void {
    for (const child of children) child.kill('SIGKILL')
    for (const ns of [namespace, clientNamespace]) {
      try {
        execFileSync('ip', ['netns', 'del', ns], { stdio: 'ignore' })
      } catch {
        // It was not made.
      }
    }
    rmSync(runtimeDirectory, { recursive: true, force: true })
  }

  function start(command: readonly string[], where: 'host' | 'client' = 'host', env: Record<string, string> = {}) {
    const ns = where === 'host' ? namespace : clientNamespace
    // nsenter executes the command in its own place, so the child's pid is the command's.
    const child = spawn('nsenter', [`--net=/var/run/netns/${ns}`, ...command], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, NODE_COMPILE_CACHE: join(runtimeDirectory, 'compiled'), ...env },
    })
    children.add(child)
    child.once('exit', () => children.delete(child))
    child.stdin.on('error', () => undefined)
    return child
  }

  try {
    for (const ns of [namespace, clientNamespace]) {
      execFileSync('ip', ['netns', 'add', ns])
      shell(ns, 'sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1; ip link set lo up')
    }
    shell(
      namespace,
      `ip link add eth0 address ${HOST_MAC} type veth peer name eth0 address ${CLIENT_MAC} netns ${clientNamespace}
       ip address add ${HOST_ADDRESS}/24 dev eth0 && ip link set eth0 up`,
    )
    shell(clientNamespace, `ip address add ${CLIENT_ADDRESS}/24 dev eth0 && ip link set eth0 up`)
  } catch (error) {
    destroy()
    throw error
  }

  const run = (command: string) => shell(namespace, command)
  const ifindex = (JSON.parse(run('ip -j link show eth0')) as { ifindex: number }[])[0]!.ifindex
  return {
    runtimeDirectory,
    namespace,
    clientNamespace,
    eth0: { name: 'eth0', ifindex, mac: HOST_MAC, address: HOST_ADDRESS },
    run,
    runInClient: (command) => shell(clientNamespace, command),
    start,
    program({ path, wrapper = [] } = {}) {
      const file = join(HERE, 'host-program.ts')
      const child = start([
        ...wrapper,
        process.execPath,
        file,
        runtimeDirectory,
        DEVICE,
        ...(path === undefined ? [] : [path]),
      ])
      return drive(child)
    },
    state: () =>
      run(`
        for interface in eth0 eth1; do
          ip -o address show dev $interface; tc qdisc show dev $interface
          tc filter show dev $interface ingress; tc filter show dev $interface egress
        done 2>&1
        ip -o address show dev lo; nft list ruleset
        grep -r . /proc/sys/net/ipv4/conf | sort`),
    destroy,
  }
}

function drive(child: ChildProcess): HostProgram {
  let complaints = ''
  child.stderr!.on('data', (chunk: Buffer) => (complaints += chunk.toString()))
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  async function ask(request: HostRequest): Promise<HostAnswer> {
    child.stdin!.write(`${JSON.stringify(request)}\n`)
    const line = await lines.next()
    if (line.done === true) throw new Error(`the program ended: ${complaints}`)
    return JSON.parse(line.value) as HostAnswer
  }
  return {
    pid: child.pid!,
    child,
    ask,
    async must(request) {
      const answer = await ask(request)
      if (!answer.ok) throw new Error(`${request.do}: ${answer.code} ${answer.message}`)
      return answer.frames ?? []
    },
    async kill() {
      child.kill('SIGKILL')
      await until('the program is gone', () => child.exitCode !== null || child.signalCode !== null)
    },
  }
}

/** Polls a condition; fails with its name when it does not come true. */
export async function until(what: string, condition: () => boolean, deadlineMs = 15_000): Promise<void> {
  const end = performance.now() + deadlineMs
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`)
    await delay(10)
  }
}

export function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

/** The guard's pid as the journal has it. */
export function guardPid(host: TestHost): number {
  const journal = JSON.parse(readFileSync(join(host.runtimeDirectory, 'host.json'), 'utf8')) as {
    guard?: { pid: number }
  }
  return journal.guard?.pid ?? 0
}
