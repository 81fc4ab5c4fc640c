/**
 * One member's protocol, without I/O: inputs are messages, ticks and hints about connections, each with the time; what
 * it wants done comes back as a list of outputs. It composes the failure detector (prober.ts), local health
 * (awareness.ts), self-doubt (self-doubt.ts), the roster of members (roster.ts), the exchange of what they know
 * (exchange.ts) and the flood of news (urgent-news.ts). What is done per message or tick costs the size of
 * the message or the number of neighbours, never the number of members.
 */
import { Awareness } from './awareness.ts'
import type { GossipConfig } from './config.ts'
import { RECEIVED, zeroCounters } from './counters.ts'
import type { CoreCounters } from './counters.ts'
import { fillDelta } from './delta.ts'
import type { Owed } from './delta.ts'
import { Exchange } from './exchange.ts'
import { readFacts } from './facts-signature.ts'
import type { FactsReader, SignedFacts } from './facts-signature.ts'
import type { Signer, Verifier } from './identity.ts'
import { isEmptyDelta } from './messages.ts'
import type { Message } from './messages.ts'
import type { Lane } from './network.ts'
import { OwnRecord } from './own-record.ts'
import { Prober } from './prober.ts'
import { Roster } from './roster.ts'
import { SelfDoubt } from './self-doubt.ts'
import type { LoadReport, Member, MembershipEvent, OwnFacts } from './types.ts'
import { UrgentNews } from './urgent-news.ts'

export type { CoreCounters } from './counters.ts'
export type { Lane } from './network.ts'

export type Output =
  { type: 'send'; to: string; lane: Lane; message: Message } | { type: 'event'; event: MembershipEvent }

export interface CoreOptions {
  config: GossipConfig
  signer: Signer
  verify: Verifier
  /** For a process with many nodes, which need not read the same record once for each. */
  readFacts?: FactsReader
  /** Who may be a member; by default everybody. May answer otherwise later: see `expel`. */
  admits?: (id: string) => boolean
  facts: OwnFacts
  software: string
  /** Should exceed that of any earlier life; if it does not, the node jumps past it as soon as it hears of it. */
  incarnation: number
  /** [0, 1), the only source of randomness. */
  random: () => number
  nowMs: number
}

export class GossipCore {
  readonly id: string
  readonly counters: CoreCounters = zeroCounters()
  readonly #config: GossipConfig
  readonly #random: () => number
  readonly #own: OwnRecord
  readonly #roster: Roster
  readonly #exchange: Exchange
  readonly #awareness: Awareness
  readonly #doubt: SelfDoubt
  readonly #prober: Prober
  readonly #news: UrgentNews
  /** Members that have yet to confirm that they know of our leaving. */
  readonly #farewells = new Set<string>()
  /** Number of the first probe that said goodbye. */
  #farewellSeq = 0
  #outputs: Output[] = []
  #nextProbeMs: number
  #nextTickMs: number
  #lastExchangeMs = -Infinity
  #version = 0

  constructor(options: CoreOptions) {
    const { config, signer, verify, random, nowMs } = options
    this.id = signer.id
    this.#config = config
    this.#random = random
    this.#own = new OwnRecord(signer, options.software, options.facts, options.incarnation, nowMs)
    this.#awareness = new Awareness(config.awarenessMax)
    this.#doubt = new SelfDoubt(config)
    this.#news = new UrgentNews(config)
    this.#roster = new Roster({
      config,
      signer,
      verify,
      readFacts: options.readFacts ?? readFacts,
      admits: options.admits ?? (() => true),
      own: this.#own,
      awareness: this.#awareness,
      doubt: this.#doubt,
      counters: this.counters,
      actions: {
        emit: (event) => this.#emit(event),
        news: (owed, heardFrom, nowMs) => this.#noteNews(owed, heardFrom, nowMs),
        probe: (id, nowMs) => this.#prober.probeAtOnce(id, nowMs),
        warn: (state, nowMs) => this.#exchange.push(state.id, [{ state, facts: false, rumour: true }], [], nowMs),
      },
    })
    this.#exchange = new Exchange(config, this.#roster, this.counters, random, (to, lane, message) => {
      this.#send(to, lane, message)
    })
    this.#prober = new Prober(config, this.#roster, this.#awareness, this.counters, random, {
      send: (to, message) => this.#send(to, 'probe', message),
      ping: (to, seq, greeting, nowMs) => this.#exchange.ping(to, seq, greeting, nowMs),
      succeeded: (nowMs) => {
        this.#doubt.exchangeSucceeded()
        this.#lastExchangeMs = nowMs
      },
    })
    this.#nextProbeMs = nowMs + random() * config.probeIntervalMs
    this.#nextTickMs = this.#nextProbeMs
    this.#doubt.appoint(this.#nextTickMs)
  }

  // -- inputs ---------------------------------------------------------------------------------------------------

  receive(nowMs: number, from: string, message: Message): Output[] {
    this.#begin(nowMs)
    const sender = this.#roster.records.get(from)
    if (sender !== undefined) sender.heardAtMs = nowMs
    this.counters[RECEIVED[message.type]]++
    this.#dispatch(nowMs, from, message)
    return this.#end(nowMs)
  }

  /** To be called at `nextTickMs`; earlier is harmless, later is noticed. */
  tick(nowMs: number): Output[] {
    this.#begin(nowMs)
    this.#roster.standing.forgetTheLongGone(nowMs)
    this.#prober.advance(nowMs)
    this.#roster.standing.judgeSuspects(nowMs)
    if (nowMs >= this.#nextProbeMs) {
      this.#nextProbeMs = Math.max(nowMs, this.#nextProbeMs) + this.#config.probeIntervalMs
      if (this.#roster.hasLeft) this.#sayGoodbye(nowMs)
      else this.#prober.probeNext(nowMs)
    }
    if (nowMs >= this.#news.dueMs) this.#spread(nowMs)
    return this.#end(nowMs)
  }

  /** A connection to this peer is ready: get acquainted at once. */
  connected(nowMs: number, id: string): Output[] {
    this.#begin(nowMs)
    this.#prober.connected(id, nowMs)
    return this.#end(nowMs)
  }

  /** The last connection to this peer is gone: a hint, no more. */
  closed(nowMs: number, id: string): Output[] {
    this.#begin(nowMs)
    this.#prober.closed(id, nowMs)
    return this.#end(nowMs)
  }

  /** The member's gossip port answered a dial with a reset: its daemon is gone, its host is not. */
  refused(nowMs: number, id: string): Output[] {
    this.#begin(nowMs)
    const state = this.#roster.records.get(id)
    if (state !== undefined) this.#roster.standing.accuse(state, 'refused', nowMs)
    return this.#end(nowMs)
  }

  /** A frame for this member could not be delivered: it never left, so its silence says nothing about it. */
  unreachable(nowMs: number, id: string): Output[] {
    this.#begin(nowMs)
    this.counters.unreachable++
    this.#prober.unreachable(id, nowMs)
    return this.#end(nowMs)
  }

  /** Whoever may no longer be a member is none from now on. */
  expel(nowMs: number): Output[] {
    this.#begin(nowMs)
    this.#roster.expel(nowMs)
    return this.#end(nowMs)
  }

  setFacts(nowMs: number, facts: OwnFacts): Output[] {
    this.#begin(nowMs)
    this.#roster.setFacts(facts, nowMs)
    return this.#end(nowMs)
  }

  setLoad(nowMs: number, report: LoadReport): void {
    this.#exchange.setLoad(report, nowMs)
  }

  /**
   * Says goodbye to all neighbours, again with every probe interval, until they have confirmed or are gone themselves.
   * `farewellsPending` tells how many have not. From them all others hear of it.
   */
  leave(nowMs: number): Output[] {
    this.#begin(nowMs)
    if (!this.#roster.hasLeft) {
      for (const id of this.#roster.overlay.neighbours) this.#farewells.add(id)
      this.#prober.clear()
      this.#roster.leave(nowMs)
      this.#sayGoodbye(nowMs)
    }
    return this.#end(nowMs)
  }

  // -- questions ------------------------------------------------------------------------------------------------

  /** Whom this node keeps a connection to. The same array until it changes. */
  neighbours(): readonly string[] {
    return this.#roster.overlay.neighbours
  }

  isNeighbour(id: string): boolean {
    return this.#roster.overlay.has(id)
  }

  /** This node's own record, as it tells it to others. */
  get ownRecord(): SignedFacts {
    return this.#own.state.signed
  }

  get farewellsPending(): number {
    return this.#farewells.size
  }

  /** This node's view, itself included, ordered by name then id. Fresh objects. */
  members(nowMs: number): Member[] {
    return this.#roster.members(nowMs)
  }

  /** The same one by one, in no particular order: for whoever looks at many and keeps none. */
  eachMember(nowMs: number, see: (member: Member) => void): void {
    this.#roster.each(nowMs, see)
  }

  /** One of them, if it is known. */
  member(nowMs: number, id: string): Member | undefined {
    return this.#roster.member(id, nowMs)
  }

  lastExchangeAgeMs(nowMs: number): number {
    return nowMs - this.#lastExchangeMs
  }

  isUnsure(nowMs: number): boolean {
    return this.#doubt.isUnsure(nowMs)
  }

  /** Grows with every event. */
  get version(): number {
    return this.#version
  }

  /** When `tick` is due. */
  get nextTickMs(): number {
    return this.#nextTickMs
  }

  // -- around every input ---------------------------------------------------------------------------------------

  #begin(nowMs: number): void {
    this.#outputs = []
    const { lateMs, stalled } = this.#doubt.observe(nowMs)
    if (lateMs > 0) {
      this.#roster.verdicts.shift(lateMs)
      this.#prober.shift(lateMs)
      this.#nextProbeMs = Math.max(this.#nextProbeMs, nowMs)
    }
    if (stalled) {
      // Answers to these may lie unread since before the stall: they prove nothing about now.
      this.#prober.clear()
      this.#awareness.stalled()
      this.counters.stalls++
    }
  }

  #end(nowMs: number): Output[] {
    // While unsure, expired suspicions wait; the probes' ticks look after them.
    const verdictMs = this.#doubt.isUnsure(nowMs) ? Infinity : this.#roster.verdicts.nextDueMs()
    this.#nextTickMs = Math.min(this.#nextProbeMs, this.#prober.nextDueMs(), verdictMs, this.#news.dueMs)
    this.#doubt.appoint(this.#nextTickMs)
    return this.#outputs
  }

  // -- exchanges ------------------------------------------------------------------------------------------------

  #dispatch(nowMs: number, from: string, message: Message): void {
    switch (message.type) {
      case 'ping':
        return this.#exchange.onPing(nowMs, from, message)
      case 'ack':
        this.#prober.onAck(message.seq, from, nowMs)
        if (this.#roster.hasLeft && message.seq >= this.#farewellSeq) this.#farewells.delete(from)
        return this.#exchange.onAck(nowMs, from, message)
      case 'ping-req':
        return this.#prober.onPingReq(message.seq, from, message.target, nowMs)
      case 'relayed-ack':
        return this.#prober.onRelayedAck(message.seq, from, nowMs)
      case 'nack':
        return this.#prober.onNack(message.seq, from, nowMs)
      case 'push':
        return this.#exchange.onPush(nowMs, from, message)
    }
  }

  // -- news -----------------------------------------------------------------------------------------------------

  #noteNews(owed: Owed, heardFrom: string | undefined, nowMs: number): void {
    const { urgentFanout, forwardFanout } = this.#config
    if (heardFrom === undefined) this.#news.tell(owed, urgentFanout, nowMs)
    else if (this.#news.forward(owed, forwardFanout, heardFrom, nowMs)) this.counters.newsForwarded++
    else this.counters.newsSuppressed++
  }

  /** Neighbours in random order; the first few hear everything, the others only what is to be told more widely. */
  #spread(nowMs: number): void {
    const news = this.#news.take()
    const widest = news[0]?.fanout ?? 0
    const told = this.#someNeighbours(widest)
    for (const [place, to] of told.entries()) {
      const owed = news.filter(({ fanout, heardFrom, owed: { state } }) => {
        return place < fanout && heardFrom !== to && state.id !== to && !state.quiet
      })
      this.#pushUrgent(
        to,
        owed.map((item) => item.owed),
        nowMs,
      )
    }
  }

  #someNeighbours(count: number): string[] {
    const { neighbours } = this.#roster.overlay
    const picked = new Set<string>()
    if (neighbours.length <= count) return [...neighbours]
    while (picked.size < count) picked.add(neighbours[Math.floor(this.#random() * neighbours.length)]!)
    return [...picked]
  }

  #pushUrgent(to: string, owed: readonly Owed[], nowMs: number): void {
    const { delta } = fillDelta(owed, this.#config.probeDeltaBytesMax, nowMs)
    if (!isEmptyDelta(delta)) this.#send(to, 'probe', { type: 'push', delta, wants: [] })
  }

  // -- leaving --------------------------------------------------------------------------------------------------

  #sayGoodbye(nowMs: number): void {
    for (const id of this.#farewells) {
      const state = this.#roster.records.get(id)
      if (state === undefined || state.presentAt < 0) {
        this.#farewells.delete(id)
        continue
      }
      const seq = this.#prober.start(id, true, nowMs)
      if (this.#farewellSeq === 0 && seq !== undefined) this.#farewellSeq = seq
    }
  }

  // -- outputs --------------------------------------------------------------------------------------------------

  #send(to: string, lane: Lane, message: Message): void {
    this.#outputs.push({ type: 'send', to, lane, message })
  }

  #emit(event: MembershipEvent): void {
    this.#version++
    this.#outputs.push({ type: 'event', event })
  }
}
