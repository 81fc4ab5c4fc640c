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
import { buildSnapshot, sameRouting } from './snapshot-builder.ts'
import { peersJson, statusJson } from './status.ts'
import { VERSION } from './version.ts'
import { buildView, type ClusterView } from './view.ts'

/** Home addresses are claimed with this epoch; whoever takes one over later claims with a higher one. */
const HOME_EPOCH = 1
/** Calls of `reconcile` for one look at the socket table while there are no flows. */
const QUIET_ROUNDS = 10

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
  readonly #ranges: Block[]
  readonly #gateways: ReadonlySet<string>
  readonly #index = new MemberIndex(MEMBERS_MAX)
  readonly #history: MemberHistory
  readonly #startedMs = boottimeMs()
  #snapshot: Snapshot | undefined
  #table: RoutingTable | undefined
  #view: ClusterView | undefined
  /** Published addresses that the host accepts and steers now; until then nobody may send us flows of them. */
  #accepts: readonly string[] = []
  #serving = false
  /** Of the latest look at the socket table. */
  #established = 0
  #quietRounds = -1

  constructor(options: ControlPlaneOptions) {
    const { config } = options
    this.#config = config
    this.#attachments = options.attachments
    this.#bootId = options.bootId
    this.#key = options.hashKey
    this.#membership = options.membership
    this.#engine = options.engine
    this.#ranges = config.publishedRanges.map((text) => parseBlock(text)!)
    this.#gateways = new Set(options.attachments.flatMap((a) => gatewaysOf(a.interface)).map(formatIpv4))
    this.#history = new MemberHistory(this.#startedMs, config.policy.slowStartMs)
  }

  /** One round. Call it every `loadSampleMs`; a caller that stops calling lets the engine's lease run out. */
  tick(): void {
    const nowMs = boottimeMs()
    const engine = this.#engine.state()
    const load = engine.activeFlows / this.#config.load.fullAt
    this.#membership.setLoad({ load, source: this.#config.load.source, ageMs: 0 })
    const view = this.#look(engine, nowMs)
    const version = (this.#snapshot?.version ?? 0) + 1
    const seed = sipHashBytes(this.#key, new TextEncoder().encode(this.#membership.id)) ^ version
    const settings = policySettings(this.#config, view.members.length)
    const table = policies[settings.name](view.policyView, settings, seed)
    const leaseUntilMs = nowMs + DEFAULTS.controlLeaseMs
    const snapshot = buildSnapshot({
      version,
      view,
      table,
      services: this.#config.services.map(({ port }) => ({ protocol: 'tcp', port })),
      ifindexOf: new Map(this.#attachments.map(({ address, ifindex }) => [address, ifindex])),
      mtu: Math.min(...this.#attachments.map(({ mtu }) => mtu)),
      leaseUntilMs,
    })
    this.#view = view
    this.#table = table
    if (this.#snapshot !== undefined && sameRouting(this.#snapshot, snapshot)) {
      this.#engine.renewLease(leaseUntilMs)
      return
    }
    this.#snapshot = snapshot
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

  /** What this node wants of its host now. */
  plan(): HostPlan {
    const view = this.#view ?? this.#look(this.#engine.state(), boottimeMs())
    return hostPlan(view, this.#attachments, this.#config.addressing, this.#config.datapath.device)
  }

  /**
   * Lets the kernel's socket table correct the count of flows that end here. The kernel walks its whole table for each
   * look, so a host that has no flows, by either count, is looked at in every tenth call only.
   */
  async reconcile(): Promise<void> {
    const quiet = this.#established === 0 && this.#engine.state().flowEntries === 0
    this.#quietRounds = quiet ? this.#quietRounds + 1 : 0
    if (this.#quietRounds % QUIET_ROUNDS !== 0) return
    const endpoints = new Set<string>()
    for (const address of this.#accepts) {
      for (const { port } of this.#config.services) endpoints.add(kernelEndpoint(parseIpv4(address), port))
    }
    this.#established = await countEstablished(endpoints)
    this.#engine.correctLocalEstablished(this.#established)
  }

  peers(): PeerJson[] {
    const engine = this.#engine.state()
    return peersJson(this.#look(engine, boottimeMs()), engine)
  }

  status(steering: 'on' | 'open', warnings: string[]): StatusJson {
    const engine = this.#engine.state()
    const nowMs = boottimeMs()
    return statusJson({
      config: this.#config,
      view: this.#look(engine, nowMs),
      engine,
      table: this.#table ?? { localLimit: Infinity, ring: [], stateless: false, fallback: [] },
      steering,
      uptimeMs: nowMs - this.#startedMs,
      version: VERSION,
      warnings,
    })
  }

  #look(engine: EngineState, nowMs: number): ClusterView {
    return buildView({
      members: this.#membership.members(),
      engine,
      attachments: this.#attachments.map(gossipAttachment),
      addressing: this.#config.addressing,
      ranges: this.#ranges,
      gateways: this.#gateways,
      index: this.#index,
      history: this.#history,
      hashes: (id) => this.#hashes(id),
      rendezvous: (address, id) => this.#hashes(`${address} ${id}`)[0],
      nowMs,
    })
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
