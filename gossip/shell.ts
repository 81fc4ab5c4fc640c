/**
 * Membership over the network: the core (core.ts) driven by a clock, and its messages carried by the transport. This
 * file decides nothing about members; it turns timers and connections into inputs, and outputs into frames and events.
 */
import { parseClusterKey } from './cluster-key.ts'
import { lanConfig } from './config.ts'
import type { GossipConfig } from './config.ts'
import { GossipCore } from './core.ts'
import type { CoreCounters, Output } from './core.ts'
import { DialBook } from './dial-book.ts'
import { createSigner, parseIdentity, verifySignature } from './identity.ts'
import { createNode, startNode } from './libp2p-node.ts'
import type { ClusterNode } from './libp2p-node.ts'
import { parseSeed } from './seeds.ts'
import { Strangers } from './strangers.ts'
import { Transport } from './transport.ts'
import type { TransportCounters } from './transport.ts'
import type { LoadReport, Member, Membership, MembershipEvent, OwnFacts } from './types.ts'

export interface MembershipOptions {
  /** What `generateIdentity` made; the same for the life of the node. */
  privateKey: Uint8Array
  /** Content of the cluster key file. */
  clusterKey: Uint8Array
  /** The node address and the gossip port. */
  listen: { address: string; port: number }
  /** `a.b.c.d:port`; our own is ignored. */
  seeds: string[]
  facts: OwnFacts
  software: string
  config?: Partial<GossipConfig>
  /** [0, 1). */
  random?: () => number
  /** Monotonic, ms. */
  now?: () => number
}

/** For metrics. `connections` is a gauge. */
export type GossipCounters = CoreCounters & TransportCounters & { connections: number }

/** Nothing is open until `start`. Throws GossipError for a bad key, identity, seed or fact. */
export async function createMembership(
  options: MembershipOptions,
): Promise<Membership & { counters(): GossipCounters }> {
  const config = lanConfig(options.config)
  const { privateKey } = parseIdentity(options.privateKey)
  const now = options.now ?? (() => performance.now())
  const strangers = new Strangers(config.strangerEveryMs)
  const shell: { current: Shell | undefined } = { current: undefined }
  const node = await createNode({
    privateKey,
    clusterKey: parseClusterKey(options.clusterKey),
    listen: options.listen,
    connectionsMax: config.connectionsMax,
    dialTimeoutMs: config.dialTimeoutMs,
    onStranger: (address) =>
      shell.current?.stranger(address, 'it did not complete the handshake: another cluster key?'),
  })
  shell.current = new Shell(options, config, node, strangers, now)
  return shell.current
}

class Shell implements Membership {
  readonly id: string
  readonly #listen: { address: string; port: number }
  readonly #config: GossipConfig
  readonly #node: ClusterNode
  readonly #core: GossipCore
  readonly #book: DialBook
  readonly #transport: Transport
  readonly #strangers: Strangers
  readonly #now: () => number
  readonly #random: () => number
  readonly #listeners = new Set<(event: MembershipEvent) => void>()
  /** The dialled address of each member that is known and has not left. */
  readonly #addresses = new Map<string, string>()
  #timer: NodeJS.Timeout | undefined
  #timerAtMs = Infinity
  #running = false

  constructor(
    options: MembershipOptions,
    config: GossipConfig,
    node: ClusterNode,
    strangers: Strangers,
    now: () => number,
  ) {
    const random = options.random ?? Math.random
    this.#listen = options.listen
    this.#config = config
    this.#node = node
    this.#strangers = strangers
    this.#now = now
    this.#random = random
    this.#core = new GossipCore({
      config,
      signer: createSigner(options.privateKey),
      verify: verifySignature,
      facts: options.facts,
      software: options.software,
      // Above any earlier life's unless the wall clock went back; then the core jumps past what others remember.
      incarnation: Math.max(1, Math.floor(Date.now() / 1_000)),
      random,
      nowMs: now(),
    })
    this.id = this.#core.id
    this.#book = new DialBook(config.redialMinMs, config.redialMaxMs, random)
    const own = addressText(options.listen)
    for (const seed of options.seeds.map((text) => addressText(parseSeed(text)))) {
      if (seed !== own) this.#book.note(seed, undefined, true, now())
    }
    this.#transport = new Transport(
      node,
      this.#book,
      config,
      {
        message: (from, message) => this.#drive((nowMs) => this.#core.receive(nowMs, from, message)),
        connected: (id) => this.#drive((nowMs) => this.#core.connected(nowMs, id)),
        closed: (id) => this.#drive((nowMs) => this.#core.closed(nowMs, id)),
        refused: (id) => this.#drive((nowMs) => this.#core.refused(nowMs, id)),
        stranger: (address, reason) => this.stranger(address, reason),
      },
      now,
    )
  }

  async start(): Promise<void> {
    await this.#transport.listen()
    await startNode(this.#node.libp2p, this.#listen)
    this.#running = true
    this.#drive((nowMs) => this.#core.tick(nowMs))
    this.#transport.sweep(0, true)
  }

  async stop(leave: boolean): Promise<void> {
    if (this.#running && leave) await this.#sayGoodbye()
    this.#running = false
    clearTimeout(this.#timer)
    this.#transport.stop()
    await this.#node.libp2p.stop()
  }

  members(): Member[] {
    return this.#core.members(this.#now())
  }

  setFacts(facts: OwnFacts): void {
    this.#drive((nowMs) => this.#core.setFacts(nowMs, facts))
  }

  setLoad(report: LoadReport): void {
    this.#core.setLoad(this.#now(), report)
  }

  onEvent(listener: (event: MembershipEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  lastExchangeAgeMs(): number {
    return this.#core.lastExchangeAgeMs(this.#now())
  }

  isUnsure(): boolean {
    return this.#core.isUnsure(this.#now())
  }

  version(): number {
    return this.#core.version
  }

  counters(): GossipCounters {
    return { ...this.#core.counters, ...this.#transport.counters, connections: this.#transport.connections }
  }

  stranger(address: string, reason: string): void {
    if (!this.#running || !this.#strangers.shouldReport(address, this.#now())) return
    this.#emit({ type: 'stranger', address, reason })
  }

  #drive(input: (nowMs: number) => Output[]): void {
    for (const output of input(this.#now())) {
      if (output.type === 'send') {
        if (this.#running) this.#transport.send(output.to, output.lane, output.message)
      } else {
        this.#noteAddress(output.event)
        this.#emit(output.event)
      }
    }
    this.#schedule()
  }

  /** One timer for the core's next tick; the transport is swept with each, so at least once per probe interval. */
  #schedule(): void {
    const atMs = this.#core.nextTickMs
    if (!this.#running || atMs >= this.#timerAtMs) return
    clearTimeout(this.#timer)
    this.#timerAtMs = atMs
    this.#timer = setTimeout(() => this.#tick(atMs), Math.max(0, Math.ceil(atMs - this.#now())))
  }

  #tick(dueMs: number): void {
    this.#timerAtMs = Infinity
    const lateMs = this.#now() - dueMs
    this.#drive((nowMs) => this.#core.tick(nowMs))
    const mesh = this.#addresses.size < this.#config.meshMembersMax
    this.#transport.sweep(lateMs > this.#config.lateToleranceMs ? lateMs : 0, mesh)
  }

  /** Keeps the dial book in step with the members. Forgotten ones stay in it: they are dialled for ever. */
  #noteAddress(event: MembershipEvent): void {
    if (event.type === 'forgotten') this.#addresses.delete(event.id)
    if (event.type === 'forgotten' || event.type === 'stranger' || event.member.self) return
    const { facts, status } = event.member
    const address = addressText({ address: facts.gossipAddress, port: facts.gossipPort })
    const before = this.#addresses.get(facts.id)
    if (before !== undefined && (before !== address || status === 'left')) {
      this.#book.drop(before, facts.id)
      this.#addresses.delete(facts.id)
    }
    if (status === 'left' || address === addressText(this.#listen)) return
    this.#addresses.set(facts.id, address)
    // Both ends hear of each other at about the same time: the higher id lets the lower one dial first.
    const patienceMs = this.id < facts.id ? 0 : this.#config.redialMinMs * (2 + this.#random())
    this.#book.note(address, facts.id, false, this.#now() + patienceMs)
  }

  async #sayGoodbye(): Promise<void> {
    const deadline = this.#now() + this.#config.leaveTimeoutMs
    this.#drive((nowMs) => this.#core.leave(nowMs))
    while (this.#core.farewellsPending > 0 && this.#now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, FAREWELL_POLL_MS))
    }
  }

  #emit(event: MembershipEvent): void {
    for (const listener of this.#listeners) listener(event)
  }
}

const FAREWELL_POLL_MS = 10

function addressText({ address, port }: { address: string; port: number }): string {
  return `${address}:${port}`
}
