/**
 * The control plane's loop: look at membership and engine, let the policy decide, publish a snapshot, renew the lease,
 * report our own load. It decides nothing by itself: view, policy and snapshot are pure, and this file gives them time.
 */
import type { Engine, EngineState } from '../datapath/engine.ts'
import type { HostPlan } from '../datapath/host/plan.ts'
import { MEMBERS_MAX } from '../datapath/counters.ts'
import { boottimeMs } from '../datapath/linux/libc.ts'
import { gatewaysOf } from '../datapath/linux/gateways.ts'
import { countEstablished, kernelEndpoint } from '../datapath/linux/socket-table.ts'
import { formatIpv4, parseIpv4 } from '../datapath/packet/bytes.ts'
import { sipHashBytes, sipHashHigh, type SipKey } from '../datapath/siphash.ts'
import type { Snapshot } from '../datapath/snapshot.ts'
import type { Attachment, Membership, OwnFacts } from '../gossip/types.ts'
import { policies } from '../policy/policies.ts'
import type { PolicySettings, RoutingTable } from '../policy/types.ts'
import type { Config } from './config-schema.ts'
import type { PeerJson, StatusJson } from './control-api.ts'
import { DEFAULTS } from './defaults.ts'
import type { HostAttachment } from './host-facts.ts'
import { hostPlan } from './host-plan.ts'
import { parseBlock, type Block } from './ipv4.ts'
import { MemberHistory } from './member-history.ts'
import { MemberIndex } from './member-index.ts'
import { QuietTable } from './quiet-table.ts'
import { buildSnapshot, sameRouting, type SnapshotInputs } from './snapshot-builder.ts'
import { peersJson, statusJson } from './status.ts'
import { TableCache } from './table-cache.ts'
import { VERSION } from './version.ts'
import { buildStanding, buildView, type ClusterView, type Standing, type ViewInputs } from './view.ts'

/** Home addresses are claimed with this epoch; whoever takes one over later claims with a higher one. */
const HOME_EPOCH = 1
/** What the daemon knows besides, for `status`. */
export type HostStatus = Pick<StatusJson, 'steering' | 'keys' | 'hashKey' | 'allowed'> & { warnings: string[] }

export interface ControlFigures {
  engine: EngineState
  load: number
  /** Infinity: everything stays. */
  localLimit: number
  unsure: boolean
  /** Published addresses that are announced here, and of the whole cluster. */
  announced: number
  published: number
  uptimeMs: number
}

export interface ControlPlaneOptions {
  config: Config
  attachments: readonly HostAttachment[]
  bootId: string
  hashKey: SipKey
  membership: Membership
  engine: Engine
}

export class ControlPlane {
  readonly #config: Config
  readonly #attachments: readonly HostAttachment[]
  readonly #bootId: string
  readonly #key: SipKey
  readonly #membership: Membership
  readonly #engine: Engine
  readonly #fixed: Pick<SnapshotInputs, 'services' | 'ifindexOf' | 'mtu'>
  readonly #gossipAttachments: readonly Attachment[]
  readonly #ranges: Block[]
  readonly #gateways: ReadonlySet<string>
  readonly #index = new MemberIndex(MEMBERS_MAX)
  readonly #history: MemberHistory
  readonly #tables = new TableCache()
  readonly #startedMs = boottimeMs()
  readonly #idHash: number
  readonly #quiet = new QuietTable()
  /** Of the membership's version that it was built for. */
  #standing: { version: number; standing: Standing } | undefined
  #plan: { standing: Standing; plan: HostPlan } | undefined
  /** What the engine has, and from what it was made. */
  #published: { snapshot: Snapshot; standing: Standing; table: RoutingTable; unsure: boolean } | undefined
  /** Of the latest round; before the first nothing can be late. */
  #tickedMs = Infinity
  /** Published addresses that the host accepts and steers now; until then nobody may send us flows of them. */
  #accepts: readonly string[] = []
  #serving = false

  constructor(options: ControlPlaneOptions) {
    const { config, attachments } = options
    this.#config = config
    this.#attachments = attachments
    this.#bootId = options.bootId
    this.#key = options.hashKey
    this.#membership = options.membership
    this.#engine = options.engine
    this.#fixed = {
      services: config.services.map(({ port }) => ({ protocol: 'tcp', port })),
      ifindexOf: new Map(attachments.map(({ address, ifindex }) => [address, ifindex])),
      mtu: Math.min(...attachments.map(({ mtu }) => mtu)),
    }
    this.#gossipAttachments = attachments.map(gossipAttachment)
    this.#ranges = config.publishedRanges.map((text) => parseBlock(text)!)
    this.#gateways = new Set(attachments.flatMap((a) => gatewaysOf(a.interface)).map(formatIpv4))
    this.#history = new MemberHistory(this.#startedMs, config.policy.slowStartMs)
    this.#idHash = this.#hashes(options.membership.id)[0]
  }

  /** One round. Call it every `loadSampleMs`; a caller that stops calling lets the engine's lease run out. */
  tick(): void {
    const nowMs = boottimeMs()
    const engine = this.#engine.state()
    this.#membership.setLoad({ load: this.#load(engine), source: this.#config.load.source, ageMs: 0 })
    const unsure = this.#isUnsure(nowMs)
    this.#tickedMs = nowMs
    const view = this.#look(engine, nowMs)
    const { standing } = view
    const last = this.#published
    const version = (last?.snapshot.version ?? 0) + 1
    const settings = policySettings(this.#config, view.members.length)
    const table = this.#tables.get(standing, view.policyView, settings, () =>
      policies[settings.name](view.policyView, settings, this.#idHash ^ version),
    )
    const leaseUntilMs = nowMs + DEFAULTS.controlLeaseMs
    if (last !== undefined && last.standing === standing && last.table === table && last.unsure === unsure) {
      this.#engine.renewLease(leaseUntilMs)
      return
    }
    const snapshot = buildSnapshot({ version, view, table, unsure, leaseUntilMs, ...this.#fixed })
    if (last !== undefined && sameRouting(last.snapshot, snapshot)) {
      this.#published = { snapshot: last.snapshot, standing, table, unsure }
      this.#engine.renewLease(leaseUntilMs)
      return
    }
    this.#published = { snapshot, standing, table, unsure }
    this.#engine.publish(snapshot)
  }

  /** The host accepts and steers these addresses from now on: peers may send us their flows. */
  setAccepted(addresses: readonly string[]): void {
    if (this.#serving && sameTexts(addresses, this.#accepts)) return

    this.#membership.setFacts(ownFacts(this.#config, this.#attachments, this.#bootId, true, addresses))
    this.#serving = true
    this.#accepts = [...addresses]
  }

  /** Says that we are leaving: no new flows, and nothing is announced any more. */
  withdraw(): void {
    this.#serving = false
    this.#accepts = []
    this.#membership.setFacts(this.facts())
    this.tick()
  }

  /** What this node says about itself. */
  facts(): OwnFacts {
    return ownFacts(this.#config, this.#attachments, this.#bootId, this.#serving, this.#accepts)
  }

  /** What this node wants of its host now. The same object as long as that is so. */
  plan(): HostPlan {
    const standing = this.#published?.standing ?? this.#look(this.#engine.state(), boottimeMs()).standing
    if (this.#plan?.standing !== standing) {
      const plan = hostPlan(standing, this.#attachments, this.#config.addressing, this.#config.datapath.device)
      this.#plan = { standing, plan }
    }
    return this.#plan.plan
  }

  /**
   * Lets the kernel's socket table correct the count of flows that end here. Call it every second; a host that has no
   * flows is looked at less often.
   */
  async reconcile(): Promise<void> {
    // Entries of flows that have ended stay for minutes; what is corrected is the count of those that have not.
    const isQuiet = this.#engine.state().activeFlows === 0
    if (!(await this.#quiet.shouldLook(isQuiet))) return
    const endpoints = new Set<string>()
    for (const address of this.#accepts) {
      for (const { port } of this.#config.services) endpoints.add(kernelEndpoint(parseIpv4(address), port))
    }
    const established = await countEstablished(endpoints)
    this.#quiet.looked(established)
    this.#engine.correctLocalEstablished(established)
  }

  peers(): PeerJson[] {
    const engine = this.#engine.state()
    return peersJson(this.#look(engine, boottimeMs()), engine)
  }

  status(host: HostStatus): StatusJson {
    const engine = this.#engine.state()
    const nowMs = boottimeMs()
    return statusJson({
      config: this.#config,
      view: this.#look(engine, nowMs),
      engine,
      localLimit: this.#published?.snapshot.tables[0]?.localLimit ?? Infinity,
      unsure: this.#published?.unsure ?? false,
      lastExchangeAgeMs: this.#membership.lastExchangeAgeMs(),
      uptimeMs: nowMs - this.#startedMs,
      version: VERSION,
      host,
    })
  }

  /** For metrics. */
  figures(): ControlFigures {
    const engine = this.#engine.state()
    const snapshot = this.#published?.snapshot
    return {
      engine,
      load: this.#load(engine),
      localLimit: snapshot?.tables[0]?.localLimit ?? Infinity,
      unsure: this.#published?.unsure ?? false,
      announced: snapshot?.addresses.filter(({ role }) => role === 'announcer').length ?? 0,
      published: snapshot?.addresses.length ?? 0,
      uptimeMs: boottimeMs() - this.#startedMs,
    }
  }

  #load(engine: EngineState): number {
    return engine.activeFlows / this.#config.load.fullAt
  }

  /** Our own lateness shows here before gossip has had its turn: timers run in the order in which they fell due. */
  #isUnsure(nowMs: number): boolean {
    return this.#membership.isUnsure() || nowMs - this.#tickedMs > DEFAULTS.suspicionMinMs / 2 + DEFAULTS.loadSampleMs
  }

  #look(engine: EngineState, nowMs: number): ClusterView {
    const version = this.#membership.version()
    const inputs: ViewInputs = {
      members: this.#membership.members(),
      engine,
      attachments: this.#gossipAttachments,
      addressing: this.#config.addressing,
      ranges: this.#ranges,
      gateways: this.#gateways,
      index: this.#index,
      history: this.#history,
      hashes: (id) => this.#hashes(id),
      rendezvous: (address, id) => this.#hashes(`${address} ${id}`)[0],
      nowMs,
    }
    if (this.#standing?.version !== version) this.#standing = { version, standing: buildStanding(inputs) }
    return buildView(inputs, this.#standing.standing)
  }

  #hashes(text: string): readonly [number, number] {
    const low = sipHashBytes(this.#key, new TextEncoder().encode(text)) >>> 0
    return [low, sipHashHigh() >>> 0]
  }
}

function policySettings({ policy }: Config, members: number): PolicySettings {
  const { maglevSlots } = DEFAULTS
  return {
    name: policy.name,
    tolerance: policy.tolerance,
    z: policy.z,
    minLoad: policy.minLoad,
    slowStartMs: policy.slowStartMs,
    ringSlotsMax: DEFAULTS.ringSlotsMax,
    maglevSlots: maglevSlots.find((slots) => slots >= 100 * members) ?? maglevSlots.at(-1)!,
    reportFreshMs: DEFAULTS.reportFreshMs,
    reportStaleMs: DEFAULTS.reportStaleMs,
  }
}

/** A node that does not serve yet, or no longer, says that it is draining and claims nothing. */
export function ownFacts(
  config: Config,
  attachments: readonly HostAttachment[],
  bootId: string,
  serving: boolean,
  accepts: readonly string[],
): OwnFacts {
  return {
    name: config.name,
    bootId,
    gossipAddress: config.nodeAddress,
    gossipPort: config.gossip.port,
    attachments: attachments.map(gossipAttachment),
    homes: [...config.published],
    announces: serving ? config.published.map((address) => ({ address, epoch: HOME_EPOCH })) : [],
    accepts: [...accepts],
    services: config.services.map(({ protocol, port }) => ({ protocol, port, health: 'healthy' })),
    draining: !serving,
    restartLeaseMs: 0,
    capacity: config.capacity,
    capacityFlows: config.load.fullAt,
  }
}

function gossipAttachment({ segment, address, mac, mtu }: HostAttachment): Attachment {
  return { segment, address, mac, mtu }
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, i) => text === b[i])
}
