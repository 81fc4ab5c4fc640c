/**
 * One member's protocol, without I/O: inputs are messages, ticks and hints about connections, each with the time; what
 * it wants done comes back as a list of outputs. It composes the failure detector (probe.ts), local health
 * (awareness.ts), self-doubt (self-doubt.ts), reconciliation (delta.ts) and the roster of members (roster.ts).
 */
import { Awareness } from './awareness.ts'
import type { GossipConfig } from './config.ts'
import { difference, fillDelta, owedInFull } from './delta.ts'
import type { Owed } from './delta.ts'
import type { Signer, Verifier } from './identity.ts'
import { EMPTY_DELTA, isEmptyDelta } from './messages.ts'
import type { Delta, Message } from './messages.ts'
import { OwnRecord } from './own-record.ts'
import { Errands, ProbeOrder, Probes, shuffle } from './probe.ts'
import type { MemberState } from './records.ts'
import { Roster } from './roster.ts'
import type { RosterCounters } from './roster.ts'
import { SelfDoubt } from './self-doubt.ts'
import type { LoadReport, Member, MembershipEvent, OwnFacts } from './types.ts'

/** `probe` messages must never queue behind `bulk` ones. */
export type Lane = 'probe' | 'bulk'

export type Output =
  { type: 'send'; to: string; lane: Lane; message: Message } | { type: 'event'; event: MembershipEvent }

export interface CoreOptions {
  config: GossipConfig
  signer: Signer
  verify: Verifier
  facts: OwnFacts
  software: string
  /** Should exceed that of any earlier life; if it does not, the node jumps past it as soon as it hears of it. */
  incarnation: number
  /** [0, 1), the only source of randomness. */
  random: () => number
  nowMs: number
}

/** For metrics. */
export interface CoreCounters extends RosterCounters {
  stalls: number
}

export class GossipCore {
  readonly id: string
  readonly counters: CoreCounters = { factsRefused: 0, accusationsMade: 0, refutations: 0, stalls: 0 }
  readonly #config: GossipConfig
  readonly #random: () => number
  readonly #own: OwnRecord
  readonly #roster: Roster
  readonly #awareness: Awareness
  readonly #doubt: SelfDoubt
  readonly #order: ProbeOrder
  readonly #probes = new Probes()
  readonly #errands = new Errands()
  /** Members that have yet to confirm that they know of our leaving. */
  readonly #farewells = new Set<string>()
  #outputs: Output[] = []
  #seq = 0
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
    this.#roster = new Roster({
      config,
      signer,
      verify,
      own: this.#own,
      awareness: this.#awareness,
      doubt: this.#doubt,
      counters: this.counters,
      actions: {
        emit: (event) => {
          this.#version++
          this.#outputs.push({ type: 'event', event })
        },
        broadcast: (delta, concerned) => this.#broadcast(delta, concerned),
        probe: (id, nowMs) => this.#probeAtOnce(id, nowMs),
      },
    })
    this.#order = new ProbeOrder(random)
    this.#nextProbeMs = nowMs + random() * config.probeIntervalMs
    this.#nextTickMs = this.#nextProbeMs
    this.#doubt.appoint(this.#nextTickMs)
  }

  // -- inputs ---------------------------------------------------------------------------------------------------

  receive(nowMs: number, from: string, message: Message): Output[] {
    const sender = this.#roster.records.get(from)
    if (sender !== undefined) sender.heardAtMs = nowMs
    return this.#input(nowMs, () => this.#dispatch(nowMs, from, message))
  }

  /** To be called at `nextTickMs`; earlier is harmless, later is noticed. */
  tick(nowMs: number): Output[] {
    return this.#input(nowMs, () => {
      this.#roster.forgetTheLongGone(nowMs)
      this.#advanceProbes(nowMs)
      this.#roster.judgeSuspects(nowMs)
      if (nowMs >= this.#nextProbeMs) {
        this.#nextProbeMs = Math.max(nowMs, this.#nextProbeMs) + this.#config.probeIntervalMs
        this.#probeNext(nowMs)
      }
    })
  }

  /** A connection to this peer is ready: get acquainted at once. */
  connected(nowMs: number, id: string): Output[] {
    return this.#input(nowMs, () => this.#startProbe(id, true, nowMs))
  }

  /** The last connection to this peer is gone: a hint, no more. */
  closed(nowMs: number, id: string): Output[] {
    return this.#input(nowMs, () => this.#probeAtOnce(id, nowMs))
  }

  /** The member's gossip port answered a dial with a reset: its daemon is gone, its host is not. */
  refused(nowMs: number, id: string): Output[] {
    return this.#input(nowMs, () => {
      const state = this.#roster.records.get(id)
      if (state !== undefined) this.#roster.accuse(state, 'refused', nowMs)
    })
  }

  setFacts(nowMs: number, facts: OwnFacts): Output[] {
    return this.#input(nowMs, () => this.#roster.setFacts(facts, nowMs))
  }

  setLoad(nowMs: number, report: LoadReport): void {
    this.#own.setLoad(report, nowMs)
  }

  /** Says goodbye to everybody alive. `farewellsPending` tells how many have not yet confirmed. */
  leave(nowMs: number): Output[] {
    return this.#input(nowMs, () => {
      if (this.#own.state.status === 'left') return
      this.#own.leave(nowMs)
      this.#probes.clear()
      const delta = { ...EMPTY_DELTA, facts: [this.#own.state.signed] }
      for (const { id } of this.#roster.others(['alive', 'suspect'])) {
        this.#farewells.add(id)
        this.#startProbe(id, true, nowMs, delta)
      }
    })
  }

  // -- questions ------------------------------------------------------------------------------------------------

  get farewellsPending(): number {
    return this.#farewells.size
  }

  members(nowMs: number): Member[] {
    return this.#roster.members(nowMs)
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

  // -- dispatch -------------------------------------------------------------------------------------------------

  #input(nowMs: number, act: () => void): Output[] {
    this.#outputs = []
    const { lateMs, stalled } = this.#doubt.observe(nowMs)
    if (lateMs > 0) {
      this.#roster.verdicts.shift(lateMs)
      this.#probes.shift(lateMs)
      this.#nextProbeMs = Math.max(this.#nextProbeMs, nowMs)
    }
    if (stalled) {
      // Answers to these may lie unread since before the stall: they prove nothing about now.
      this.#probes.clear()
      this.counters.stalls++
    }
    act()
    this.#nextTickMs = this.#earliestDueMs(nowMs)
    this.#doubt.appoint(this.#nextTickMs)
    return this.#outputs
  }

  #earliestDueMs(nowMs: number): number {
    // While unsure, expired suspicions wait; the probes' ticks look after them.
    const verdictMs = this.#doubt.isUnsure(nowMs) ? Infinity : this.#roster.verdicts.nextDueMs()
    return Math.min(this.#nextProbeMs, this.#probes.nextDueMs(), this.#errands.nextDueMs(), verdictMs)
  }

  #dispatch(nowMs: number, from: string, message: Message): void {
    switch (message.type) {
      case 'ping':
        return this.#onPing(nowMs, from, message)
      case 'ack':
        return this.#onAck(nowMs, from, message)
      case 'ping-req':
        return this.#onPingReq(nowMs, from, message.seq, message.target)
      case 'relayed-ack':
        if (this.#probes.answered(message.seq, from, true) !== undefined) this.#exchangeSucceeded(nowMs)
        return
      case 'nack':
        return this.#probes.nack(message.seq, from)
      case 'push':
        return this.#roster.merge(message.delta, nowMs)
    }
  }

  #onPing(nowMs: number, from: string, { seq, digest, delta }: Extract<Message, { type: 'ping' }>): void {
    this.#roster.merge(delta, nowMs)
    for (const entry of digest.entries) this.#roster.hearAboutSelf(entry)
    const { owed, wants } = difference(this.#roster.records, digest.entries)
    if (digest.complete) {
      const named = new Set(digest.entries.map((entry) => entry.key))
      for (const state of this.#roster.records.all()) {
        if (!named.has(state.key) && !this.#roster.isQuiet(state, nowMs)) owed.push(owedInFull(state))
      }
    }
    const now = fillDelta(shuffle(owed, this.#random), this.#config.probeDeltaBytesMax, nowMs)
    this.#send(from, 'probe', { type: 'ack', seq, delta: now.delta, wants })
    if (now.rest.length > 0) this.#push(from, now.rest, nowMs)
  }

  #onAck(nowMs: number, from: string, { seq, delta, wants }: Extract<Message, { type: 'ack' }>): void {
    const errand = this.#errands.answered(seq, from)
    if (errand !== undefined) this.#send(errand.requester, 'probe', { type: 'relayed-ack', seq: errand.requesterSeq })
    const answered = this.#probes.answered(seq, from, false) !== undefined
    if (answered || errand !== undefined) this.#exchangeSucceeded(nowMs)
    if (answered && this.#own.state.status === 'left') this.#farewells.delete(from)
    this.#roster.merge(delta, nowMs)
    for (const entry of wants) this.#roster.hearAboutSelf(entry)
    const { owed } = difference(this.#roster.records, wants)
    if (owed.length > 0) this.#push(from, owed, nowMs)
  }

  #onPingReq(nowMs: number, from: string, requesterSeq: number, target: string): void {
    if (target === this.id || this.#roster.records.get(target) === undefined || this.#errands.isFull) {
      this.#send(from, 'probe', { type: 'nack', seq: requesterSeq })
      return
    }
    const seq = this.#nextSeq()
    const deadlineAtMs = nowMs + this.#config.probeTimeoutMs * NACK_SHARE
    this.#errands.start(seq, { requester: from, requesterSeq, target, deadlineAtMs })
    this.#sendPing(target, seq, EMPTY_DELTA, nowMs)
  }

  // -- probing --------------------------------------------------------------------------------------------------

  #probeNext(nowMs: number): void {
    if (this.#own.state.status === 'left') return
    const known = this.#roster
      .others(['alive', 'suspect'])
      .filter((state) => state.heardAtMs > -Infinity || nowMs - state.knownSinceMs > this.#config.introductionMs)
    const candidates = new Set(known.map((state) => state.id))
    // Whoever has spoken within half a round needs no probe yet: its own exchange was as good as one.
    const freshMs = nowMs - (candidates.size * this.#config.probeIntervalMs) / 2
    const isFresh = (id: string): boolean => (this.#roster.records.get(id)?.heardAtMs ?? -Infinity) > freshMs
    const target = this.#order.next(candidates, isFresh)
    if (target !== undefined) this.#startProbe(target, false, nowMs)
  }

  #probeAtOnce(id: string, nowMs: number): void {
    const status = this.#roster.records.get(id)?.status
    if (id === this.id || (status !== 'alive' && status !== 'suspect')) return
    this.#startProbe(id, false, nowMs)
  }

  #startProbe(target: string, greeting: boolean, nowMs: number, delta: Delta = EMPTY_DELTA): void {
    if (!greeting && this.#probes.isProbing(target)) return
    const seq = this.#nextSeq()
    this.#probes.start({
      seq,
      target,
      timeoutAtMs: nowMs + this.#awareness.scale(this.#config.probeTimeoutMs),
      deadlineAtMs: nowMs + this.#awareness.scale(this.#config.probeDeadlineMs),
      pendingHelpers: new Set(),
      asked: false,
      greeting,
    })
    this.#sendPing(target, seq, delta, nowMs)
  }

  #sendPing(to: string, seq: number, delta: Delta, nowMs: number): void {
    const quiet = (state: MemberState): boolean => this.#roster.isQuiet(state, nowMs)
    const digest = this.#roster.records.digest(this.#own.state, this.#config.digestEntriesMax, this.#random, quiet)
    this.#send(to, 'probe', { type: 'ping', seq, digest, delta })
  }

  #advanceProbes(nowMs: number): void {
    const { wantHelpers, failed } = this.#probes.due(nowMs)
    for (const probe of wantHelpers) {
      const able = this.#roster.others(['alive']).filter((state) => state.id !== probe.target)
      for (const { id } of shuffle(able, this.#random).slice(0, this.#config.indirectProbes)) {
        probe.pendingHelpers.add(id)
        this.#send(id, 'probe', { type: 'ping-req', seq: probe.seq, target: probe.target })
      }
    }
    for (const probe of failed) {
      if (probe.greeting) continue
      this.#awareness.probeFailed(probe.pendingHelpers.size)
      const state = this.#roster.records.get(probe.target)
      if (state !== undefined) this.#roster.accuse(state, 'silent', nowMs)
    }
    for (const errand of this.#errands.expired(nowMs)) {
      this.#send(errand.requester, 'probe', { type: 'nack', seq: errand.requesterSeq })
    }
  }

  #exchangeSucceeded(nowMs: number): void {
    this.#awareness.probeSucceeded()
    this.#doubt.exchangeSucceeded()
    this.#lastExchangeMs = nowMs
  }

  // -- outputs --------------------------------------------------------------------------------------------------

  /** To the member concerned, if any, and to as many others as are told at once. */
  #broadcast(delta: Delta, concerned: string | undefined): void {
    const others = this.#roster.others(['alive', 'suspect']).filter((state) => state.id !== concerned)
    const told = shuffle(others, this.#random).slice(0, this.#config.urgentFanout)
    const ids = told.map((state) => state.id)
    if (concerned !== undefined) ids.unshift(concerned)
    for (const id of ids) this.#send(id, 'probe', { type: 'push', delta })
  }

  #push(to: string, owed: Owed[], nowMs: number): void {
    const { delta, bytes } = fillDelta(owed, this.#config.bulkDeltaBytesMax, nowMs)
    if (isEmptyDelta(delta)) return
    this.#send(to, bytes > this.#config.probeDeltaBytesMax ? 'bulk' : 'probe', { type: 'push', delta })
  }

  #send(to: string, lane: Lane, message: Message): void {
    this.#outputs.push({ type: 'send', to, lane, message })
  }

  #nextSeq(): number {
    this.#seq = (this.#seq + 1) >>> 0
    return this.#seq
  }
}

/** A helper gives up after this share of the requester's own timeout, so that its nack arrives in time. */
const NACK_SHARE = 0.8
