/**
 * The daemon's life: start in the order that keeps clients whole, run, undo in reverse. Whatever a start has done is
 * undone when a later step fails, so that nothing is left half configured.
 *
 *   lock ─▶ keys ─▶ seeds asked ─▶ gossip listens (draining) ─▶ repair, sysctls, addresses ─▶ engine ─▶ steering
 *        ─▶ peers may send us flows, home addresses are announced ─▶ …
 *
 * If engine or control plane fail later, the process ends at once: the guard opens the steering and the host's own
 * kernel goes on serving, which is better than anything a wounded daemon could do.
 */
import { hkdfSync } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { DatapathError } from '../datapath/errors.ts'
import { createFallbackDecap, type FallbackDecap } from '../datapath/host/fallback-decap.ts'
import { createHostSetup, type HostSetup } from '../datapath/host/host-setup.ts'
import type { HostPlan } from '../datapath/host/plan.ts'
import { boottimeMs } from '../datapath/linux/libc.ts'
import { parseIpv4, parseMac } from '../datapath/packet/bytes.ts'
import { sipKey } from '../datapath/siphash.ts'
import { TunEngine } from '../datapath/tun/tun-engine.ts'
import { generateIdentity } from '../gossip/identity.ts'
import { probeSeeds } from '../gossip/seeds.ts'
import { createMembership } from '../gossip/shell.ts'
import type { Membership } from '../gossip/types.ts'
import { readClusterKeyFile } from './cluster-key-file.ts'
import type { Config } from './config-schema.ts'
import { ControlPlane, ownFacts } from './control-plane.ts'
import { createControlServer } from './control-server.ts'
import { DEFAULTS } from './defaults.ts'
import { NodeError, errorLines, exitCodeOf } from './errors.ts'
import { readBootId, resolveAttachments, type HostAttachment } from './host-facts.ts'
import { loadOrCreateIdentity } from './identity-file.ts'
import { createLogger, type Logger } from './log.ts'
import { logMembershipEvent } from './member-log.ts'
import { acquireSingleInstance } from './single-instance.ts'
import { aborted, catchStopSignals } from './stop-signals.ts'
import { UndoList } from './undo-list.ts'
import { VERSION } from './version.ts'

const HOUSEKEEPING_MS = 1_000
/** An engine whose loop has not come round for this long hangs; its longest regular sleep is 50 ms. */
const ENGINE_HUNG_MS = 2_000
/** A plan that the host could not follow is tried again after this. */
const RETRY_MS = 1_000
/** For peers to hear that nothing new may come, before we stop taking it: a few rounds of gossip. */
const FAREWELL_MS = 3 * DEFAULTS.probeIntervalMs
const HASH_KEY_BYTES = 16
const SOCKET_NAME = 'control.sock'

/**
 * Runs until a stop signal; resolves when the host is as it was found. A signal during the start ends that after its
 * present step. Rejects with a coded error.
 */
export async function runDaemon(config: Config): Promise<void> {
  const log = createLogger(config.log)
  const stopAsked = catchStopSignals()
  const daemon = new Daemon(config, log, stopAsked)
  process.on('uncaughtException', (error) => daemon.die('bug', error))
  await daemon.start()
  await aborted(stopAsked)
  log.info({ event: 'stopping', signal: String(stopAsked.reason) }, 'undoing all changes to the host')
  const failures = await daemon.stop()
  if (failures.length > 0) throw failures[0]
  log.info({ event: 'stopped' }, 'the host is as it was found')
}

class Daemon {
  readonly #config: Config
  readonly #log: Logger
  readonly #stopAsked: AbortSignal
  readonly #undo: UndoList
  readonly #timers: NodeJS.Timeout[] = []
  readonly #warnings = new Map<string, string>()
  #plan: HostPlan | undefined
  #decap: FallbackDecap | undefined
  #changing: Promise<void> = Promise.resolve()
  #steering: 'on' | 'open' = 'open'
  #stopping = false
  #reconciling = false

  constructor(config: Config, log: Logger, stopAsked: AbortSignal) {
    this.#config = config
    this.#log = log
    this.#stopAsked = stopAsked
    this.#undo = new UndoList(log)
  }

  /** Returns with everything undone if a stop was asked for meanwhile, whatever the start ended with. */
  async start(): Promise<void> {
    try {
      await this.#start()
    } catch (error) {
      await this.stop()
      if (!this.#stopAsked.aborted) throw error
    }
  }

  /** Undoes everything that was done, in reverse. Idempotent. @returns what could not be undone */
  async stop(): Promise<unknown[]> {
    this.#stopping = true
    for (const timer of this.#timers.splice(0)) clearInterval(timer)
    await this.#changing
    return this.#undo.undoAll()
  }

  async #start(): Promise<void> {
    const config = this.#config
    const host = createHostSetup({
      runtimeDirectory: config.runtimeDirectory,
      device: config.datapath.device,
      log: this.#log,
    })
    await host.preflight()
    this.#stopAsked.throwIfAborted()
    const lock = await acquireSingleInstance()
    this.#undo.add('lock', () => lock.release())
    const clusterKey = readClusterKeyFile(config.clusterKeyFile)
    const attachments = resolveAttachments(config)
    await this.#askSeeds(clusterKey.swarmKey)
    this.#stopAsked.throwIfAborted()
    const identity = await loadOrCreateIdentity(config.stateDirectory, generateIdentity)
    const hashKey = new Uint8Array(hkdfSync('sha256', clusterKey.secret, '', 'dpr flow hash', HASH_KEY_BYTES))

    const membership = await createMembership({
      privateKey: identity.key,
      clusterKey: clusterKey.swarmKey,
      listen: { address: config.nodeAddress, port: config.gossip.port },
      seeds: [...config.gossip.seeds],
      facts: ownFacts(config, attachments, readBootId(), false, []),
      software: VERSION,
      config: { probeIntervalMs: DEFAULTS.probeIntervalMs, suspicionMinMs: DEFAULTS.suspicionMinMs },
    })
    membership.onEvent((event) => logMembershipEvent(this.#log, event))
    await membership.start()
    this.#undo.add('membership', () => membership.stop(true))

    const engine = new TunEngine({
      device: config.datapath.device,
      links: attachments.map(({ interface: name, ifindex, mac, address }) => ({
        name,
        ifindex,
        mac: parseMac(mac),
        address: parseIpv4(address),
      })),
      flowTableEntries: config.datapath.flowTableEntries,
      announce: { scheduleMs: DEFAULTS.garpScheduleMs, everyMs: DEFAULTS.garpEveryMs },
      hashKey,
    })
    const control = new ControlPlane({
      config,
      attachments,
      bootId: readBootId(),
      hashKey: sipKey(hashKey),
      membership,
      engine,
    })
    const server = createControlServer({
      socketPath: `${config.runtimeDirectory}/${SOCKET_NAME}`,
      peers: () => control.peers(),
      status: () => control.status(this.#steering, [...this.#warnings.values()]),
    })
    await server.start()
    this.#undo.add('control server', () => server.stop())

    this.#stopAsked.throwIfAborted()
    await this.#takeHost(host, engine, control, attachments)
    this.#run(host, engine, control, membership)
    this.#log.info(
      {
        event: 'started',
        name: config.name,
        id: membership.id,
        version: VERSION,
        announces: config.published,
        policy: config.policy.name,
      },
      'serving',
    )
  }

  /** From a host that knows nothing of us to one whose published addresses pass through the engine. */
  async #takeHost(
    host: HostSetup,
    engine: TunEngine,
    control: ControlPlane,
    attachments: readonly HostAttachment[],
  ): Promise<void> {
    this.#undo.add('host', () => host.undo())
    await host.repair()
    const plan = control.plan()
    await host.prepare(plan)
    await engine.open()
    // The filters go before the device: a redirect to a device that is gone drops for ever.
    this.#undo.add('engine', async () => {
      await host.open({ holdResets: false })
      this.#steering = 'open'
      await engine.close()
    })
    engine.onFailure((error) => this.die('engine-failed', error))
    this.#stopAsked.throwIfAborted()
    await host.deviceReady()
    control.tick()
    await host.steer(plan)
    this.#steering = 'on'
    this.#plan = plan
    await host.settle()
    const decap = createFallbackDecap()
    this.#fallback(decap, plan, [], attachments)
    this.#undo.add('fallback', () => decap.detach())
    this.#stopAsked.throwIfAborted()
    control.setAccepted(plan.publishedAddresses)
    this.#undo.add('announcements', async () => {
      control.withdraw()
      if (control.peers().some(({ self, status }) => !self && status === 'alive')) await sleep(FAREWELL_MS)
    })
    this.#decap = decap
  }

  /** The kernel's stand-in for our decapsulator, should this process die. A host without BPF goes on without it. */
  #fallback(
    decap: FallbackDecap,
    plan: HostPlan,
    memberAddresses: string[],
    attachments?: readonly HostAttachment[],
  ): void {
    try {
      decap.setMembers(memberAddresses)
      decap.setPublished([...plan.publishedAddresses])
      if (attachments !== undefined) {
        decap.attach(attachments.map(({ interface: name, ifindex, address }) => ({ name, ifindex, address })))
      }
      this.#warnings.delete('fallback')
    } catch (error) {
      const line = errorLines(error)[0] ?? String(error)
      if (this.#warnings.get('fallback') === line) return
      this.#warnings.set('fallback', line)
      this.#log.warn({ event: 'fallback-decapsulator', error }, 'tunnelled flows pause if this daemon is killed')
    }
  }

  #run(host: HostSetup, engine: TunEngine, control: ControlPlane, membership: Membership): void {
    this.#every(DEFAULTS.loadSampleMs, () => {
      control.tick()
      this.#follow(host, control, membership)
    })
    this.#every(HOUSEKEEPING_MS, () => {
      const silentMs = boottimeMs() - engine.state().heartbeatMs
      if (silentMs > ENGINE_HUNG_MS) this.die('engine-hung', engineHung(silentMs))
      // One at a time: a socket table that takes longer than a second to read must not be read twice at once.
      if (this.#reconciling) return
      this.#reconciling = true
      control
        .reconcile()
        .catch((error: unknown) => this.#log.warn({ event: 'socket-table', error }, 'not readable'))
        .finally(() => (this.#reconciling = false))
    })
  }

  /** Members come and go with their addresses: the host follows before anybody may send us those flows. */
  #follow(host: HostSetup, control: ControlPlane, membership: Membership): void {
    const plan = control.plan()
    const others = membership.members().filter(({ self, status }) => !self && status !== 'left')
    const addresses = others.flatMap(({ facts }) => [
      facts.gossipAddress,
      ...facts.attachments.map(({ address }) => address),
    ])
    if (this.#decap !== undefined) this.#fallback(this.#decap, plan, [...new Set(addresses)])
    if (samePlan(plan, this.#plan)) return
    this.#plan = plan
    this.#changing = this.#adopt(plan, host, control, this.#changing)
  }

  async #adopt(plan: HostPlan, host: HostSetup, control: ControlPlane, before: Promise<void>): Promise<void> {
    await before
    if (this.#stopping) return
    try {
      await host.update(plan)
      control.setAccepted(plan.publishedAddresses)
      this.#warnings.delete('host')
      this.#log.info({ event: 'host-updated', published: plan.publishedAddresses }, 'addresses and steering follow')
    } catch (error) {
      setTimeout(() => (this.#plan = undefined), RETRY_MS).unref()
      const line = errorLines(error)[0] ?? String(error)
      if (this.#warnings.get('host') === line) return
      this.#warnings.set('host', line)
      this.#log.error({ event: 'host-update-failed', error }, 'the host could not follow the cluster')
    }
  }

  /** Asked before anything is touched: a node with the wrong key must not half-configure its host. */
  async #askSeeds(clusterKey: Uint8Array): Promise<void> {
    const seeds = [...this.#config.gossip.seeds]
    if (seeds.length === 0) return
    const outcomes = await probeSeeds({ seeds, clusterKey })
    const refusing = outcomes.filter(({ outcome }) => outcome === 'refused-key').map(({ seed }) => seed)
    if (refusing.length === 0 || outcomes.some(({ outcome }) => outcome === 'joined')) return
    throw new NodeError(
      'E_CLUSTER_KEY_REFUSED',
      `every seed that answers (${refusing.join(', ')}) refuses the cluster key of ${this.#config.clusterKeyFile}`,
    )
  }

  #every(ms: number, round: () => void): void {
    this.#timers.push(
      setInterval(() => {
        try {
          round()
        } catch (error) {
          this.die('control-plane-failed', error)
        }
      }, ms),
    )
  }

  /** The guard does the rest. */
  die(event: string, error: unknown): void {
    if (this.#stopping) return
    this.#log.fatal({ event, error }, 'ending at once; the guard opens the steering')
    this.#log.flush()
    for (const line of errorLines(error)) console.error(line)
    // `exit` waits for the engine's thread, and a thread that hangs in the kernel would keep the guard waiting too.
    if (event === 'engine-hung') process.kill(process.pid, 'SIGKILL')
    process.exit(exitCodeOf(error))
  }
}

function engineHung(silentMs: number): DatapathError {
  return new DatapathError(
    'E_ENGINE',
    `the engine gave no sign of life for ${Math.round(silentMs)} ms`,
    'The daemon ends and the host serves alone; a supervisor starts it again. If it recurs, look for a starved CPU.',
  )
}

function samePlan(a: HostPlan, b: HostPlan | undefined): boolean {
  return b !== undefined && JSON.stringify(a) === JSON.stringify(b)
}
