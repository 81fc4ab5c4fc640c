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
import { createFallbackDecap } from '../datapath/host/fallback-decap.ts'
import { createHostSetup, type HostSetup } from '../datapath/host/host-setup.ts'
import { boottimeMs } from '../datapath/linux/libc.ts'
import { parseIpv4, parseMac } from '../datapath/packet/bytes.ts'
import { sipKey } from '../datapath/siphash.ts'
import { TunEngine } from '../datapath/tun/tun-engine.ts'
import { generateIdentity } from '../gossip/identity.ts'
import { probeSeeds } from '../gossip/seeds.ts'
import type { Membership } from '../gossip/types.ts'
import { readClusterKeys } from './cluster-keys.ts'
import { Cluster } from './cluster.ts'
import type { Config } from './config-schema.ts'
import { ControlPlane, ownFacts } from './control-plane.ts'
import { createControlServer } from './control-server.ts'
import { DEFAULTS } from './defaults.ts'
import { NodeError, errorLines, exitCodeOf } from './errors.ts'
import { readBootId, resolveAttachments, type HostAttachment } from './host-facts.ts'
import { HostFollower } from './host-follower.ts'
import { loadOrCreateIdentity } from './identity-file.ts'
import { createLogger, type Logger } from './log.ts'
import { createMetricsServer } from './metrics-server.ts'
import { Metrics, processFigures } from './metrics.ts'
import { raisePriority } from './priority.ts'
import { acquireSingleInstance } from './single-instance.ts'
import { aborted, catchStopSignals, onReload } from './stop-signals.ts'
import { UndoList } from './undo-list.ts'
import { VERSION } from './version.ts'
import { Warnings } from './warnings.ts'

const HOUSEKEEPING_MS = 1_000
/** An engine whose loop has not come round for this long hangs; its longest regular sleep is 250 ms. */
const ENGINE_HUNG_MS = 2_000
/** For peers to hear that nothing new may come, before we stop taking it: a few rounds of gossip. */
const FAREWELL_MS = 3 * DEFAULTS.probeIntervalMs
const HASH_KEY_BYTES = 16
const SOCKET_NAME = 'control.sock'

/**
 * Runs until a stop signal; resolves when the host is as it was found. A signal during the start ends that after its
 * present step. Rejects with a coded error.
 * @param read the configuration anew, at SIGHUP
 */
export async function runDaemon(config: Config, read: () => Config): Promise<void> {
  const log = createLogger(config.log)
  const stopAsked = catchStopSignals()
  // First of all: threads that are started later inherit it.
  const refused = raisePriority()
  if (refused !== undefined) log.info({ event: 'priority', error: refused }, 'the priority stays as it is')
  const daemon = new Daemon(config, log, stopAsked)
  onReload(() => daemon.reload(read))
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
  readonly #warnings = new Warnings()
  #cluster: Cluster | undefined
  #follower: HostFollower | undefined
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
    await this.#follower?.stop()
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
    const keys = readClusterKeys(config)
    const attachments = resolveAttachments(config)
    await this.#askSeeds(keys.contents)
    this.#stopAsked.throwIfAborted()
    const identity = await loadOrCreateIdentity(config.stateDirectory, generateIdentity)
    const cluster = await Cluster.create({
      config,
      keys,
      privateKey: identity.key,
      facts: ownFacts(config, attachments, readBootId(), false, []),
      attachments,
      log: this.#log,
      warnings: this.#warnings,
    })
    await cluster.start()
    this.#cluster = cluster
    this.#undo.add('membership', () => cluster.stop())
    const { membership } = cluster
    // Derived from the key of the start, and kept until the next: a change of keys must not move flows.
    const hashKey = new Uint8Array(hkdfSync('sha256', keys.secret, '', 'dpr flow hash', HASH_KEY_BYTES))

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
    const metrics = this.#metrics(control, cluster)
    const server = createControlServer({
      socketPath: `${config.runtimeDirectory}/${SOCKET_NAME}`,
      peers: () => control.peers(),
      status: () =>
        control.status({
          steering: this.#steering,
          ...cluster.status(),
          warnings: this.#warnings.texts,
        }),
      metrics,
    })
    await server.start()
    this.#undo.add('control server', () => server.stop())
    if (config.metrics.listen !== undefined) {
      const scraped = createMetricsServer(config.metrics.listen, metrics)
      await scraped.start()
      this.#undo.add('metrics server', () => scraped.stop())
    }

    this.#stopAsked.throwIfAborted()
    const parts = { host, engine, control, membership, metrics }
    await this.#takeHost(parts, attachments)
    this.#run(parts)
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
  async #takeHost({ host, engine, control, membership }: Parts, attachments: readonly HostAttachment[]): Promise<void> {
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
    await host.settle()
    const decap = createFallbackDecap()
    const [log, warnings] = [this.#log, this.#warnings]
    const follower = new HostFollower({ host, control, membership, decap, plan, log, warnings })
    follower.attach(plan, attachments)
    this.#undo.add('fallback', () => decap.detach())
    this.#stopAsked.throwIfAborted()
    control.setAccepted(plan.publishedAddresses)
    this.#undo.add('announcements', async () => {
      control.withdraw()
      if (control.peers().some(({ self, status }) => !self && status === 'alive')) await sleep(FAREWELL_MS)
    })
    this.#follower = follower
  }

  #run({ engine, control, metrics }: Parts): void {
    let dueMs = Infinity
    this.#every(DEFAULTS.loadSampleMs, () => {
      const nowMs = boottimeMs()
      metrics.observeLate((nowMs - dueMs) / 1_000)
      dueMs = nowMs + DEFAULTS.loadSampleMs
      control.tick()
      this.#follower?.follow()
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

  /** Asked before anything is touched: a node with the wrong key must not half-configure its host. */
  async #askSeeds(clusterKeys: readonly Uint8Array[]): Promise<void> {
    const { seeds } = this.#config.gossip
    if (seeds.length === 0) return
    const outcomes = await probeSeeds({ seeds, clusterKeys })
    const refusing = outcomes.filter(({ outcome }) => outcome === 'refused-key').map(({ seed }) => seed)
    if (refusing.length === 0 || outcomes.some(({ outcome }) => outcome === 'joined')) return
    throw new NodeError(
      'E_CLUSTER_KEY_REFUSED',
      `every seed that answers (${refusing.join(', ')}) refuses the cluster key of ${this.#config.clusterKeyFile}`,
    )
  }

  /** Cluster keys and allowed nodes of the configuration, from now on. Before the node has joined they are read anyway. */
  reload(read: () => Config): void {
    if (!this.#stopping) this.#cluster?.reload(read)
  }

  #metrics(control: ControlPlane, cluster: Cluster): Metrics {
    return new Metrics(() => ({
      version: VERSION,
      name: this.#config.name,
      policy: this.#config.policy.name,
      control: control.figures(),
      process: processFigures(),
      ...cluster.figures(),
    }))
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

interface Parts {
  host: HostSetup
  engine: TunEngine
  control: ControlPlane
  membership: Membership
  metrics: Metrics
}

function engineHung(silentMs: number): DatapathError {
  return new DatapathError(
    'E_ENGINE',
    `the engine gave no sign of life for ${Math.round(silentMs)} ms`,
    'The daemon ends and the host serves alone; a supervisor starts it again. If it recurs, look for a starved CPU.',
  )
}
