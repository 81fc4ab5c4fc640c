/**
 * One member, complete but for time and the network: the core (core.ts), its links (links.ts), and one timer. It decides
 * nothing about members; it turns connections, frames and timers into inputs of the core, and the core's outputs into
 * frames and events. Everything here is a synchronous call, so the daemon and the simulator run the same code.
 */
import { decodeMessage, encodeMessage } from './codec.ts'
import type { GossipConfig } from './config.ts'
import { GossipCore } from './core.ts'
import type { CoreCounters, CoreOptions, Output } from './core.ts'
import type { SignedFacts } from './facts-signature.ts'
import type { LinkCounters } from './link-counters.ts'
import { Links } from './links.ts'
import type { Clock, Lane, Network, NetworkHandlers, PeerConnection } from './network.ts'
import { INCOMPLETE_REASON, Strangers, TWIN_REASON } from './strangers.ts'
import type { LoadReport, MembershipEvent, OwnFacts } from './types.ts'

export interface PeerOptions {
  core: Omit<CoreOptions, 'nowMs'>
  network: Network
  clock: Clock
  /** `a.b.c.d:port`; our own is ignored. */
  seeds: readonly string[]
  /** Addresses of members from before a restart. */
  known?: readonly string[]
  /** Where we listen, if that is not what our facts say. */
  listen?: string
  onEvent: (event: MembershipEvent) => void
}

/** For metrics. The last three are gauges. */
export type PeerCounters = CoreCounters & LinkCounters & { links: number; connections: number; addresses: number }

/** A timer that would go off so much too early is set anew: what it was set for has happened, an answer say. */
const EARLY_MS = 20
/** Under this name twins are counted among the strangers, whatever their address. */
const TWIN_KEY = 'twin'

export class Peer {
  readonly core: GossipCore
  readonly handlers: NetworkHandlers
  readonly #config: GossipConfig
  readonly #clock: Clock
  readonly #links: Links
  readonly #strangers: Strangers
  readonly #onEvent: (event: MembershipEvent) => void
  readonly #own: ReadonlySet<string>
  /** Where each member is that is known and has not left. */
  readonly #addresses = new Map<string, string>()
  #neighbours: readonly string[] = []
  #cancelTimer: (() => void) | undefined
  #timerAtMs = Infinity
  #running = false

  /** Throws GossipError for facts that cannot be gossiped. */
  constructor(options: PeerOptions) {
    const { core, network, clock, seeds, known = [], listen } = options
    this.#config = core.config
    this.#clock = clock
    this.#onEvent = options.onEvent
    this.#strangers = new Strangers(core.config.strangerEveryMs)
    this.core = new GossipCore({ ...core, nowMs: clock.now() })
    this.#links = new Links({
      network,
      config: core.config,
      now: () => clock.now(),
      random: core.random,
      admits: core.admits ?? (() => true),
      events: {
        connected: (id) => this.#drive((nowMs) => this.core.connected(nowMs, id)),
        closed: (id) => {
          if (this.core.isNeighbour(id)) this.#drive((nowMs) => this.core.closed(nowMs, id))
        },
        refused: (id) => this.#drive((nowMs) => this.core.refused(nowMs, id)),
        unreachable: (id) => this.#drive((nowMs) => this.core.unreachable(nowMs, id)),
        stranger: (address, reason) => this.#stranger(address, reason),
        twin: (address) => this.#twin(address),
      },
    })
    this.#own = new Set([listen ?? '', addressText(core.facts)])
    for (const address of seeds) if (!this.#own.has(address)) this.#links.contacts.noteAddress(address, 'seed')
    for (const address of known) if (!this.#own.has(address)) this.#links.contacts.noteAddress(address, 'member')
    this.handlers = {
      opened: (connection) => this.#guarded(() => this.#links.opened(connection)),
      frame: (connection, _lane, frame) => this.#frame(connection, frame),
      closed: (connection) => this.#guarded(() => this.#links.closed(connection)),
      stranger: (address, reason) => this.#stranger(address, reason),
    }
  }

  /** The network has started: dial, probe. */
  begin(): void {
    this.#running = true
    this.#drive((nowMs) => this.core.tick(nowMs))
    this.#sweep()
  }

  /** Says goodbye; `farewellsPending` tells how many have yet to confirm it. */
  leave(): void {
    this.#drive((nowMs) => this.core.leave(nowMs))
  }

  get farewellsPending(): number {
    return this.core.farewellsPending
  }

  /** No more timers, every connection is aborted. The network is the owner's to stop. */
  stop(): void {
    this.#running = false
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    this.#links.stop()
  }

  setFacts(facts: OwnFacts): void {
    this.#drive((nowMs) => this.core.setFacts(nowMs, facts))
  }

  setLoad(report: LoadReport): void {
    this.core.setLoad(this.#clock.now(), report)
  }

  /** Somebody may be at this address. */
  discovered(address: string): void {
    if (this.#own.has(address)) return
    this.#links.contacts.noteAddress(address, 'found')
    this.#schedule()
  }

  /** Where the others are, those included that are dead at the moment: to be remembered for a restart. */
  addresses(): { id: string; address: string }[] {
    return [...this.#addresses].map(([id, address]) => ({ id, address }))
  }

  /** Replaces these connections, each without a gap if its peer can be dialled; they end within `withinMs`. */
  renew(connections: readonly PeerConnection[], withinMs: number): void {
    for (const connection of connections) this.#links.renew(connection, withinMs)
    this.#schedule()
  }

  /** `admits` of the core's options answers otherwise now: ends the links and the membership of those it names. */
  expel(): void {
    this.#drive((nowMs) => this.core.expel(nowMs))
    this.#links.expel()
    this.#schedule()
  }

  /** Takes records as if somebody had just told them: they are signed, so it matters not who. */
  learn(records: readonly SignedFacts[]): void {
    const delta = { facts: [...records], rumours: [] }
    this.#drive((nowMs) => this.core.receive(nowMs, this.core.id, { type: 'push', delta, wants: [] }))
  }

  isLinked(id: string): boolean {
    return this.#links.isLinked(id)
  }

  counters(): PeerCounters {
    return { ...this.core.counters, ...this.#links.counters, ...this.#links.gauges }
  }

  // -- inputs -------------------------------------------------------------------------------------------------------

  #guarded(act: () => void): void {
    act()
    this.#schedule()
  }

  #frame(connection: PeerConnection, frame: Uint8Array): void {
    if (!this.#running || !this.#links.received(connection, frame.length)) return
    const verdict = decodeMessage(frame)
    if (verdict.ok) this.#drive((nowMs) => this.core.receive(nowMs, connection.peer, verdict.message))
    else this.#guarded(() => this.#links.refuse(connection, `a message is refused (${verdict.reason})`))
  }

  #stranger(address: string, reason: string): void {
    if (reason === TWIN_REASON) return this.#twin(address)
    // It dialled while we stood still, or hedged its dial: no reason to wake anybody.
    if (reason === INCOMPLETE_REASON && this.#isMembers(address)) return
    if (!this.#running || !this.#strangers.shouldReport(address, this.#clock.now())) return
    this.#onEvent({ type: 'stranger', address, reason })
  }

  #isMembers(host: string): boolean {
    return [...this.#addresses.values()].some((address) => address.startsWith(`${host}:`))
  }

  #twin(address: string): void {
    if (!this.#running || !this.#strangers.shouldReport(TWIN_KEY, this.#clock.now())) return
    this.#onEvent({ type: 'twin', address })
  }

  #drive(input: (nowMs: number) => Output[]): void {
    for (const output of input(this.#clock.now())) {
      if (output.type === 'send') this.#send(output.to, output.lane, output)
      else if (output.event.type === 'twin') this.#twin(output.event.address)
      else {
        this.#note(output.event)
        this.#onEvent(output.event)
      }
    }
    this.#schedule()
  }

  #send(to: string, lane: Lane, { message }: Extract<Output, { type: 'send' }>): void {
    if (this.#running) this.#links.send(to, lane, encodeMessage(message), message.type === 'ping')
  }

  // -- time ---------------------------------------------------------------------------------------------------------

  #schedule(): void {
    const atMs = Math.min(this.core.nextTickMs, this.#links.dueMs)
    if (!this.#running || atMs === Infinity) return
    if (atMs >= this.#timerAtMs && atMs < this.#timerAtMs + EARLY_MS) return
    // It is overdue, and about to wake us: how late we are is known then only.
    if (this.#timerAtMs <= this.#clock.now()) return
    this.#cancelTimer?.()
    this.#timerAtMs = atMs
    this.#cancelTimer = this.#clock.schedule(atMs, () => this.#wake(atMs))
  }

  #wake(dueMs: number): void {
    this.#timerAtMs = Infinity
    const nowMs = this.#clock.now()
    if (nowMs - dueMs > this.#config.lateToleranceMs) this.#links.forgive(nowMs - dueMs)
    if (nowMs >= this.core.nextTickMs) this.#drive((now) => this.core.tick(now))
    this.#sweep()
  }

  #sweep(): void {
    this.#follow()
    if (this.#clock.now() >= this.#links.dueMs) this.#links.sweep(this.#clock.now())
    this.#schedule()
  }

  // -- members ------------------------------------------------------------------------------------------------------

  /** Keeps the links in step with the members. Forgotten ones stay in the dial book: they are dialled for ever. */
  #note(event: MembershipEvent): void {
    if (event.type === 'stranger' || event.type === 'twin') return
    if (event.type === 'forgotten') {
      this.#addresses.delete(event.id)
      this.#links.contacts.forgetMember(event.id)
      return
    }
    const { facts, status, self } = event.member
    if (self) return
    const address = addressText(facts)
    const before = this.#addresses.get(facts.id)
    if (before !== undefined && (before !== address || status === 'left')) {
      this.#addresses.delete(facts.id)
      this.#links.contacts.dropAddress(facts.id, before)
    }
    if (status === 'left' || this.#own.has(address)) this.#links.contacts.forgetMember(facts.id)
    else {
      this.#addresses.set(facts.id, address)
      this.#links.contacts.noteMember(facts.id, address, status !== 'dead')
    }
    this.#follow()
  }

  #follow(): void {
    const neighbours = this.core.neighbours()
    if (neighbours === this.#neighbours) return
    this.#neighbours = neighbours
    this.#links.setNeighbours(neighbours)
  }
}

function addressText({ gossipAddress, gossipPort }: { gossipAddress: string; gossipPort: number }): string {
  return `${gossipAddress}:${gossipPort}`
}
