/**
 * A live lab: a whole cluster on one machine, real hosts in network namespaces, real daemons, real servers. Used by
 * `dpr lab`, the integration tests and the benchmarks alike. A `LabSpec` describes one; a `Lab` is one, until `down`.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess, StdioOptions } from 'node:child_process'
import { controlGet } from '../node/control-client.ts'
import type { PeerJson, StatusJson } from '../node/control-api.ts'
import { inNamespace, run, runOk } from './command.ts'
import type { CommandOptions, CommandResult } from './command.ts'
import { LabError } from './errors.ts'
import { isAlive, signal, spawnDetached, waitForEnd } from './processes.ts'
import type { ProcessRef } from './processes.ts'
import { cleanEnvironment, daemonCommand, serverCommand } from './programs.ts'
import { waitForAddresses, waitForMembers } from './ready.ts'
import type { NotReady } from './ready.ts'
import { SERVICE_PORT, labHosts, namespaceOf } from './spec.ts'
import type { LabHostPlan, LabSpec } from './spec.ts'
import { hostPaths, writeState } from './state.ts'
import type { HostPaths, LabState } from './state.ts'
import { removeLab } from './teardown.ts'
import { HELPERS } from './topology.ts'

/** For one request to a control socket: a stopped daemon must not stop the lab. */
const CONTROL_TIMEOUT_MS = 2_000
/** For a daemon or server to be gone after a signal that ends it. */
const END_TIMEOUT_MS = 10_000

/** What `dpr lab up --json` says about a host. Scripts may rely on these names. */
export interface LabHostJson {
  name: string
  namespace: string
  /** Node address. */
  address: string
  segment: string
  published: string[]
  /** Control socket; null in a lab without daemons. */
  socket: string | null
  /** Of the processes themselves, no wrapper; null if there is none. */
  daemonPid: number | null
  serverPid: number | null
  /** Where config and logs are. */
  directory: string
}

export interface LabJson {
  name: string
  client: { namespace: string }
  hosts: LabHostJson[]
}

export class Lab {
  readonly spec: LabSpec
  readonly hosts: readonly LabHostPlan[]
  readonly #state: LabState

  /** Made by `labUp` and `labOpen`. */
  constructor(state: LabState) {
    this.#state = state
    this.spec = state.spec
    this.hosts = labHosts(state.spec)
  }

  get name(): string {
    return this.spec.name
  }

  /** @throws LabError E_LAB_NODE */
  host(name: string): LabHostPlan {
    const host = this.hosts.find((host) => host.name === name)
    if (host !== undefined) return host
    throw unknownNode(this, name, this.hosts)
  }

  paths(name: string): HostPaths {
    return hostPaths(this.name, this.host(name).name)
  }

  /** Of a host, or of `client`, `router`, `switch`. */
  namespace(node: string): string {
    return HELPERS.some((helper) => helper === node) ? namespaceOf(this.name, node) : this.host(node).namespace
  }

  /** Runs a command in a node's namespace to its end, whatever its exit code. */
  exec(node: string, argv: readonly string[], options: Omit<CommandOptions, 'env'> = {}): Promise<CommandResult> {
    return run(inNamespace(this.namespace(node), argv), { ...options, env: this.environment(node) })
  }

  /** Starts a command in a node's namespace. `child.pid` is the command's own; `down` ends it if nobody else does. */
  spawn(node: string, argv: readonly string[], stdio: StdioOptions = 'pipe'): ChildProcess {
    const [file, ...args] = inNamespace(this.namespace(node), argv) as [string, ...string[]]
    return spawn(file, args, { stdio, env: this.environment(node) })
  }

  /** In a host, `dpr` is found and speaks to that host's daemon. */
  environment(node: string): NodeJS.ProcessEnv {
    const isHost = this.hosts.some((host) => host.name === node)
    return cleanEnvironment(isHost ? { DPR_SOCKET: this.paths(node).socket } : {})
  }

  /** `GET /v1/status` of a host's daemon. */
  status(name: string): Promise<StatusJson> {
    return controlGet<StatusJson>(this.paths(name).socket, '/v1/status', CONTROL_TIMEOUT_MS)
  }

  /** `GET /v1/peers` of a host's daemon. */
  peers(name: string): Promise<PeerJson[]> {
    return controlGet<PeerJson[]>(this.paths(name).socket, '/v1/peers', CONTROL_TIMEOUT_MS)
  }

  /**
   * Power loss as everybody else sees it: the switch port goes down, silently. The host's processes go on in the dark,
   * and `restoreHost` plugs the cable in again.
   */
  async killHost(name: string): Promise<void> {
    await this.#setPort(name, 'down')
  }

  async restoreHost(name: string): Promise<void> {
    await this.#setPort(name, 'up')
  }

  async #setPort(name: string, state: 'up' | 'down'): Promise<void> {
    await runOk(['ip', '-n', this.namespace('switch'), 'link', 'set', this.host(name).name, state])
  }

  daemonRunning(name: string): boolean {
    return running(this.#state.daemons[this.host(name).name])
  }

  serverRunning(name: string): boolean {
    return running(this.#state.servers[this.host(name).name])
  }

  /** Signals a daemon; returns when it is gone if the signal is KILL or TERM, at once for any other. */
  async killDaemon(name: string, signalName: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.#signal('daemon', name, this.#state.daemons[this.host(name).name], signalName)
  }

  async killServer(name: string, signalName: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.#signal('server', name, this.#state.servers[this.host(name).name], signalName)
  }

  async #signal(what: string, name: string, ref: ProcessRef | undefined, signalName: NodeJS.Signals): Promise<void> {
    if (ref === undefined || !signal(ref, signalName)) {
      throw new LabError('E_LAB_NODE', `the ${what} of ${name} is not running`, 'see `dpr lab status`')
    }
    if (signalName !== 'SIGKILL' && signalName !== 'SIGTERM') return
    const left = await waitForEnd([ref], END_TIMEOUT_MS)
    if (left.length === 0) return
    const remedy = `look at ${what === 'daemon' ? this.paths(name).daemonLog : this.paths(name).serverLog}`
    throw new LabError('E_LAB_NODE', `the ${what} of ${name} did not end on ${signalName}`, remedy)
  }

  /** Starts a host's daemon; returns when the process exists, not when it is ready (`waitReady`). */
  async startDaemon(name: string): Promise<void> {
    const paths = this.paths(name)
    this.#state.daemons[name] = await spawnDetached(inNamespace(this.namespace(name), daemonCommand(paths.config)), {
      logFile: paths.daemonLog,
      cwd: paths.directory,
      env: cleanEnvironment(),
    })
    writeState(this.#state)
  }

  /** TERM, as a supervisor would, unless it is gone already; then a new one. */
  async restartDaemon(name: string): Promise<void> {
    if (this.daemonRunning(name)) await this.killDaemon(name, 'SIGTERM')
    await this.startDaemon(name)
  }

  async startServer(name: string): Promise<void> {
    const host = this.host(name)
    const paths = this.paths(name)
    const env = cleanEnvironment({
      DPR_HOST: name,
      DPR_ADDRESS: host.address,
      DPR_PUBLISHED: host.published.join(','),
      DPR_PORT: String(SERVICE_PORT),
      DPR_DIR: paths.work,
    })
    this.#state.servers[name] = await spawnDetached(inNamespace(host.namespace, serverCommand(this.spec.server)), {
      logFile: paths.serverLog,
      cwd: paths.work,
      env,
    })
    writeState(this.#state)
  }

  /**
   * Waits until every daemon sees every member alive, and every published address answers the client.
   * @returns undefined when ready, else what is missing
   */
  async waitReady(timeoutMs: number, abort?: AbortSignal): Promise<NotReady | undefined> {
    const deadline = performance.now() + timeoutMs
    if (!this.spec.daemons) return undefined
    const watched = this.hosts.map(({ name }) => ({
      name,
      running: () => this.daemonRunning(name),
      peers: () => this.peers(name),
      status: () => this.status(name),
    }))
    const missing = await waitForMembers(watched, this.hosts.length, timeoutMs, abort)
    if (missing !== undefined || !this.spec.servers) return missing
    const left = Math.max(1_000, Math.round(deadline - performance.now()))
    return this.waitAnswers(
      this.hosts.flatMap((host) => host.published),
      left,
      abort,
    )
  }

  /** Waits until each of these addresses answers the client on the service port. */
  async waitAnswers(
    addresses: readonly string[],
    timeoutMs: number,
    abort?: AbortSignal,
  ): Promise<NotReady | undefined> {
    const urls = addresses.map((address) => `http://${address}:${SERVICE_PORT}/`)
    const tcp = this.spec.server !== undefined
    const silent = await waitForAddresses(this.namespace('client'), urls, tcp, timeoutMs, abort)
    if (silent.length === 0) return undefined
    const home = this.hosts.find((host) => silent.some((url) => host.published.includes(new URL(url).hostname)))
    return { host: home?.name ?? this.hosts[0]!.name, reason: `no answer from ${silent.join(', ')}` }
  }

  toJSON(): LabJson {
    return {
      name: this.name,
      client: { namespace: this.namespace('client') },
      hosts: this.hosts.map((host) => ({
        name: host.name,
        namespace: host.namespace,
        address: host.address,
        segment: host.segment,
        published: [...host.published],
        socket: this.spec.daemons ? this.paths(host.name).socket : null,
        daemonPid: runningPid(this.#state.daemons[host.name]),
        serverPid: runningPid(this.#state.servers[host.name]),
        directory: this.paths(host.name).directory,
      })),
    }
  }

  /** Ends everything and removes every trace. Idempotent. */
  down(): Promise<void> {
    return removeLab(this.name)
  }
}

function running(ref: ProcessRef | undefined): boolean {
  return ref !== undefined && isAlive(ref)
}

function runningPid(ref: ProcessRef | undefined): number | null {
  return ref !== undefined && isAlive(ref) ? ref.pid : null
}

function unknownNode(lab: Lab, name: string, hosts: readonly LabHostPlan[]): LabError {
  const names = [...HELPERS, ...hosts.map((host) => host.name)].join(', ')
  return new LabError('E_LAB_NODE', `the lab ${lab.name} has no ${name}`, `it has ${names}`)
}
