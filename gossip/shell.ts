/** Membership as the node uses it: a Peer (peer.ts) on the real clock and the libp2p network. */
import { realClock } from './clock.ts'
import { lanConfig } from './config.ts'
import type { GossipConfig } from './config.ts'
import { GossipError } from './errors.ts'
import { createSigner, parseIdentity, verifySignature } from './identity.ts'
import { Libp2pNetwork } from './libp2p-network.ts'
import { Peer } from './peer.ts'
import type { PeerCounters } from './peer.ts'
import { parseSeed } from './seeds.ts'
import type { LoadReport, Member, Membership, MembershipEvent, OwnFacts } from './types.ts'

export interface MembershipOptions {
  /** What `generateIdentity` made; the same for the life of the node. */
  privateKey: Uint8Array
  /** Content of the cluster key file. */
  clusterKey?: Uint8Array
  /** Several, in its place: the first is dialled with, all are accepted. */
  clusterKeys?: readonly Uint8Array[]
  /** See `setAllowList`. */
  allowList?: readonly string[]
  /** The node address and the gossip port. */
  listen: { address: string; port: number }
  /** `a.b.c.d:port`; our own is ignored. */
  seeds: readonly string[]
  /** What `addresses()` said before a restart. */
  known?: readonly string[]
  facts: OwnFacts
  software: string
  config?: Partial<GossipConfig>
  /** [0, 1). */
  random?: () => number
  /** Monotonic, ms; best one that goes on while the host is suspended. */
  now?: () => number
}

/** A link made with a key that is gone has this long for its replacement. */
const RENEW_MS = 2_000
const FAREWELL_POLL_MS = 10

/** Nothing is open until `start`. Throws GossipError for a bad key, identity, seed or fact. */
export async function createMembership(options: MembershipOptions): Promise<Shell> {
  const config = lanConfig(options.config)
  const { privateKey } = parseIdentity(options.privateKey)
  const clusterKeys = options.clusterKeys ?? (options.clusterKey === undefined ? [] : [options.clusterKey])
  const network = await Libp2pNetwork.create({
    privateKey,
    clusterKeys,
    listen: options.listen,
    connectionsMax: config.connectionsMax,
    handshakeMs: config.handshakeTimeoutMs,
    frameBytesMax: config.frameBytesMax,
  })
  return new Shell(options, config, network)
}

class Shell implements Membership {
  readonly id: string
  readonly #config: GossipConfig
  readonly #network: Libp2pNetwork
  readonly #peer: Peer
  readonly #now: () => number
  readonly #listeners = new Set<(event: MembershipEvent) => void>()
  #allowed: ReadonlySet<string> | undefined
  #running = false

  constructor(options: MembershipOptions, config: GossipConfig, network: Libp2pNetwork) {
    const clock = realClock(options.now)
    this.id = network.id
    this.#config = config
    this.#network = network
    this.#now = () => clock.now()
    this.#peer = new Peer({
      core: {
        config,
        signer: createSigner(options.privateKey),
        verify: verifySignature,
        facts: options.facts,
        software: options.software,
        // Above any earlier life's unless the wall clock went back; then the core jumps past what others remember.
        incarnation: Math.max(1, Math.floor(Date.now() / 1_000)),
        random: options.random ?? Math.random,
        admits: (id) => this.#allowed === undefined || this.#allowed.has(id),
      },
      network,
      clock,
      seeds: options.seeds.map((text) => addressText(parseSeed(text))),
      known: (options.known ?? []).filter(isAddress),
      listen: addressText(options.listen),
      onEvent: (event) => {
        for (const listener of this.#listeners) listener(event)
      },
    })
    if (options.allowList !== undefined) this.setAllowList(options.allowList)
  }

  async start(): Promise<void> {
    await this.#network.start(this.#peer.handlers)
    this.#running = true
    this.#peer.begin()
  }

  async stop(leave: boolean): Promise<void> {
    if (this.#running && leave) await this.#sayGoodbye()
    this.#running = false
    this.#peer.stop()
    await this.#network.stop()
  }

  members(): Member[] {
    return this.#peer.core.members(this.#now())
  }

  setFacts(facts: OwnFacts): void {
    this.#peer.setFacts(facts)
  }

  setLoad(report: LoadReport): void {
    this.#peer.setLoad(report)
  }

  onEvent(listener: (event: MembershipEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  lastExchangeAgeMs(): number {
    return this.#peer.core.lastExchangeAgeMs(this.#now())
  }

  isUnsure(): boolean {
    return this.#peer.core.isUnsure(this.#now())
  }

  version(): number {
    return this.#peer.core.version
  }

  setKeys(keys: readonly Uint8Array[]): void {
    this.#peer.renew(this.#network.setKeys(keys), RENEW_MS)
  }

  linksByKey(): number[] {
    return this.#network.connectionsByKey()
  }

  setAllowList(ids: readonly string[] | undefined): void {
    this.#allowed = ids === undefined ? undefined : new Set([...ids, this.id])
    this.#network.setAllowList(ids)
    this.#peer.expel()
  }

  discovered(address: string): void {
    if (isAddress(address)) this.#peer.discovered(address)
  }

  addresses(): { id: string; address: string }[] {
    return this.#peer.addresses()
  }

  counters(): PeerCounters {
    return this.#peer.counters()
  }

  async #sayGoodbye(): Promise<void> {
    const deadline = this.#now() + this.#config.leaveTimeoutMs
    this.#peer.leave()
    while (this.#peer.farewellsPending > 0 && this.#now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, FAREWELL_POLL_MS))
    }
  }
}

function addressText({ address, port }: { address: string; port: number }): string {
  return `${address}:${port}`
}

function isAddress(text: string): boolean {
  try {
    parseSeed(text)
    return true
  } catch (error) {
    if (error instanceof GossipError) return false
    throw error
  }
}
