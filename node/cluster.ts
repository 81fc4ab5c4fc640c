/**
 * The daemon's side of membership: which keys and nodes count, who was known before this start, who announces itself on
 * the segment, what is counted and told about all that. Who is alive is gossip's affair.
 */
import { wanConfig, type GossipConfig } from '../gossip/config.ts'
import { createMembership } from '../gossip/shell.ts'
import type { Membership, MembershipEvent, OwnFacts } from '../gossip/types.ts'
import { boottimeMs } from '../datapath/linux/libc.ts'
import { missingSelf } from './allow-list.ts'
import type { ClusterKeys } from './cluster-keys.ts'
import type { Config } from './config-schema.ts'
import type { HostStatus } from './control-plane.ts'
import { DEFAULTS } from './defaults.ts'
import { errorLines } from './errors.ts'
import type { HostAttachment } from './host-facts.ts'
import { KnownMembers } from './known-members.ts'
import type { Logger } from './log.ts'
import { Mdns } from './mdns.ts'
import { MemberCounts } from './member-counts.ts'
import { logMembershipEvent } from './member-log.ts'
import type { MetricSource } from './metrics-table.ts'
import { reread } from './reload.ts'
import { VERSION } from './version.ts'
import type { Warnings } from './warnings.ts'

/** How often there is a look whether the disk should know something new; and after which time it is written anyway. */
const REMEMBER_MS = 5_000
const REMEMBER_ANYWAY_MS = 3_600_000
/** Gossip tells about a twin once a minute. */
const TWIN_WARNING_MS = 150_000

export interface ClusterOptions {
  config: Config
  keys: ClusterKeys
  privateKey: Uint8Array
  facts: OwnFacts
  attachments: readonly HostAttachment[]
  log: Logger
  /** Of the whole daemon. */
  warnings: Warnings
}

export class Cluster {
  readonly membership: Membership
  readonly #log: Logger
  readonly #warnings: Warnings
  readonly #known: KnownMembers
  readonly #counts = new MemberCounts()
  readonly #mdns: Mdns | undefined
  /** Of the start; the hashes' key is derived from its first key. */
  readonly #hashKey: string
  #config: Config
  #keys: ClusterKeys
  #timer: NodeJS.Timeout | undefined
  #notedVersion = -1
  #notedMs = -Infinity
  #twinSeenMs = -Infinity

  /** Nothing is open yet. @throws GossipError */
  static async create(options: ClusterOptions): Promise<Cluster> {
    const { config, keys, log } = options
    const [known, ignored] = await KnownMembers.load(config.stateDirectory)
    if (ignored !== undefined) log.warn({ event: 'members-file', reason: ignored }, 'members of before are not known')
    const membership = await createMembership({
      privateKey: options.privateKey,
      clusterKeys: keys.contents,
      ...(config.gossip.allow === undefined ? {} : { allowList: config.gossip.allow }),
      listen: { address: config.nodeAddress, port: config.gossip.port },
      seeds: config.gossip.seeds,
      known: known.addresses(),
      facts: options.facts,
      software: VERSION,
      config: gossipConfig(config),
      // It goes on while the host is suspended, so that a sleep is noticed as the stall that it is.
      now: boottimeMs,
    })
    return new Cluster(options, known, membership)
  }

  private constructor(options: ClusterOptions, known: KnownMembers, membership: Membership) {
    const { config, keys } = options
    this.membership = membership
    this.#config = config
    this.#keys = keys
    this.#hashKey = keys.fingerprints[0]!
    this.#log = options.log
    this.#warnings = options.warnings
    this.#known = known
    const { gossip, nodeAddress } = config
    if (gossip.mdns ?? gossip.seeds.length === 0) {
      this.#mdns = new Mdns({
        self: { id: membership.id, address: nodeAddress, port: gossip.port },
        tags: keys.tags,
        interfaces: options.attachments.map(({ address }) => address),
        discovered: (address) => membership.discovered(address),
        log: options.log,
      })
    }
    membership.onEvent((event) => this.#hear(event))
    this.#lookForSelf()
  }

  async start(): Promise<void> {
    await this.membership.start()
    this.#mdns?.start()
    this.#timer = setInterval(() => void this.#remember(), REMEMBER_MS)
  }

  /** Says goodbye, after the view was kept in which the others are alive. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#remember()
    await this.#mdns?.stop()
    await this.membership.stop(true)
  }

  /** Takes over the cluster keys and the allowed nodes of a configuration read anew; what is wrong changes nothing. */
  reload(read: () => Config): void {
    try {
      const { config, keys, needRestart } = reread(this.#config, read)
      this.membership.setKeys(keys.contents)
      this.membership.setAllowList(config.gossip.allow)
      this.#mdns?.setTags(keys.tags)
      this.#keys = keys
      // The other keys stay as they were read at the start: that is what still holds.
      const { allow, otherClusterKeyFiles } = config.gossip
      const gossip = { ...this.#config.gossip, allow, otherClusterKeyFiles }
      this.#config = { ...this.#config, clusterKeyFile: config.clusterKeyFile, gossip }
      const facts = { keys: keys.fingerprints, allowed: allow?.length ?? null, needRestart }
      this.#log.info({ event: 'reloaded', ...facts }, 'keys and allowed nodes are in force')
      this.#lookForSelf()
    } catch (error) {
      for (const line of errorLines(error))
        this.#log.error({ event: 'reload-failed', reason: line }, 'nothing has changed')
    }
  }

  /** For `status`. */
  status(): Pick<HostStatus, 'keys' | 'hashKey' | 'allowed'> {
    if (boottimeMs() - this.#twinSeenMs > TWIN_WARNING_MS) this.#warnings.clear('twin')
    const links = this.membership.linksByKey()
    return {
      keys: this.#keys.fingerprints.map((fingerprint, index) => ({ fingerprint, links: links[index] ?? 0 })),
      hashKey: this.#hashKey,
      allowed: this.#config.gossip.allow?.length ?? null,
    }
  }

  /** For metrics. */
  figures(): Pick<MetricSource, 'id' | 'members' | 'counts' | 'gossip' | 'lastExchangeAgeMs' | 'mdns'> {
    return {
      id: this.membership.id,
      members: this.membership.members(),
      counts: this.#counts,
      gossip: { ...this.membership.counters() },
      lastExchangeAgeMs: this.membership.lastExchangeAgeMs(),
      mdns: this.#mdns?.counters,
    }
  }

  #lookForSelf(): void {
    const missing = missingSelf(this.#config.gossip.allow, this.membership.id)
    if (missing === undefined) this.#warnings.clear('allow-list')
    else if (this.#warnings.raise('allow-list', missing)) {
      this.#log.warn({ event: 'not-listed', id: this.membership.id }, missing)
    }
  }

  #hear(event: MembershipEvent): void {
    logMembershipEvent(this.#log, event)
    this.#counts.note(event)
    if (event.type !== 'twin') return
    this.#twinSeenMs = boottimeMs()
    const text = `another node uses this node's identity (${event.address}): was its state directory copied?`
    this.#warnings.raise('twin', text)
  }

  async #remember(): Promise<void> {
    const version = this.membership.version()
    const nowMs = boottimeMs()
    if (version === this.#notedVersion && nowMs - this.#notedMs < REMEMBER_ANYWAY_MS) return
    this.#notedVersion = version
    this.#notedMs = nowMs
    try {
      this.#known.note(this.membership.members())
      await this.#known.save()
      this.#warnings.clear('members-file')
    } catch (error) {
      if (!this.#warnings.raise('members-file', error)) return
      this.#log.warn({ event: 'members-file', error }, 'members cannot be kept for the next start')
    }
  }
}

/** The preset decides; the table of defaults is that of a local network. */
function gossipConfig({ gossip }: Config): Partial<GossipConfig> {
  if (gossip.preset === 'wan') return wanConfig()
  return { probeIntervalMs: DEFAULTS.probeIntervalMs, suspicionMinMs: DEFAULTS.suspicionMinMs }
}
