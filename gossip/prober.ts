/**
 * The failure detector at work (probe.ts holds its parts): whom to probe now, whom to ask for help, when to give up. Only
 * neighbours in the overlay are probed in turn, which costs every member one probe per interval whatever N; since each
 * member has up to 2K neighbours, it is probed about once per interval as well, each time by another.
 */
import type { Awareness } from './awareness.ts'
import type { GossipConfig } from './config.ts'
import type { CoreCounters } from './counters.ts'
import type { Message } from './messages.ts'
import { Errands, ProbeOrder, Probes, shuffle } from './probe.ts'
import { isPresent } from './records.ts'
import type { Roster } from './roster.ts'

export interface ProberActions {
  send(to: string, message: Message): void
  /** Sends a ping; a greeting tells everything that a stranger needs. */
  ping(to: string, seq: number, greeting: boolean, nowMs: number): void
  /** An exchange that we began has succeeded. */
  succeeded(nowMs: number): void
}

export class Prober {
  readonly #config: GossipConfig
  readonly #roster: Roster
  readonly #awareness: Awareness
  readonly #counters: CoreCounters
  readonly #random: () => number
  readonly #actions: ProberActions
  readonly #order: ProbeOrder
  readonly #probes = new Probes()
  readonly #errands = new Errands()
  /** Peers with a connection to us, as far as we were told. */
  readonly #linked = new Set<string>()
  #seq = 0
  #nowMs = 0
  #freshMs = 0

  constructor(
    config: GossipConfig,
    roster: Roster,
    awareness: Awareness,
    counters: CoreCounters,
    random: () => number,
    actions: ProberActions,
  ) {
    this.#config = config
    this.#roster = roster
    this.#awareness = awareness
    this.#counters = counters
    this.#random = random
    this.#actions = actions
    this.#order = new ProbeOrder(random)
  }

  connected(id: string, nowMs: number): void {
    this.#linked.add(id)
    this.start(id, true, nowMs)
  }

  closed(id: string, nowMs: number): void {
    this.#linked.delete(id)
    if (this.#roster.overlay.has(id) && this.#roster.own.state.status !== 'left') this.probeAtOnce(id, nowMs)
  }

  /** The turn of the next neighbour. */
  probeNext(nowMs: number): void {
    const neighbours = this.#roster.overlay.neighbours
    this.#nowMs = nowMs
    // Whoever has spoken within half a round needs no probe yet: its own exchange was as good as one.
    this.#freshMs = nowMs - (neighbours.length * this.#config.probeIntervalMs) / 2
    const target = this.#order.next(neighbours, this.#isReady, this.#isFresh)
    if (target !== undefined) this.start(target, false, nowMs)
  }

  readonly #isReady = (id: string): boolean => {
    const state = this.#roster.records.get(id)
    if (state === undefined) return false
    return state.heardAtMs > -Infinity || this.#nowMs - state.knownSinceMs > this.#config.introductionMs
  }

  readonly #isFresh = (id: string): boolean => (this.#roster.records.get(id)?.heardAtMs ?? -Infinity) > this.#freshMs

  /** There is reason for doubt. */
  probeAtOnce(id: string, nowMs: number): void {
    const state = this.#roster.records.get(id)
    if (state === undefined || state === this.#roster.own.state || !isPresent(state)) return
    this.start(id, false, nowMs)
  }

  /** A greeting is sent on a new connection: its failure proves nothing. Returns the number of the probe, if one was sent. */
  start(target: string, greeting: boolean, nowMs: number): number | undefined {
    if (!greeting && this.#probes.isProbing(target)) return undefined
    const seq = this.#nextSeq()
    this.#counters.probesSent++
    this.#probes.start({
      seq,
      target,
      timeoutAtMs: nowMs + this.#awareness.scale(this.#config.probeTimeoutMs),
      deadlineAtMs: nowMs + this.#awareness.scale(this.#config.probeDeadlineMs),
      pendingHelpers: new Set(),
      asked: false,
      greeting,
    })
    this.#actions.ping(target, seq, greeting, nowMs)
    return seq
  }

  /** Timeouts and deadlines. */
  advance(nowMs: number): void {
    if (nowMs < this.nextDueMs()) return
    const { wantHelpers, failed } = this.#probes.due(nowMs)
    for (const probe of wantHelpers) {
      for (const helper of this.#helpersFor(probe.target)) {
        // The silence of one that must first be dialled may be the dial's, and says nothing about us.
        if (this.#linked.has(helper)) probe.pendingHelpers.add(helper)
        this.#counters.indirectProbesSent++
        this.#actions.send(helper, { type: 'ping-req', seq: probe.seq, target: probe.target })
      }
    }
    for (const probe of failed) {
      if (probe.greeting) continue
      this.#counters.probesFailed++
      this.#awareness.probeFailed(probe.pendingHelpers.size)
      const state = this.#roster.records.get(probe.target)
      if (state !== undefined) this.#roster.standing.accuse(state, 'silent', nowMs)
    }
    for (const errand of this.#errands.expired(nowMs)) this.#decline(errand.requester, errand.requesterSeq)
  }

  /** Neighbours of the target have a connection to it: first those that are ours as well, so that none need be made. */
  #helpersFor(target: string): string[] {
    const state = this.#roster.records.get(target)
    if (state === undefined) return []
    const { overlay, own, records } = this.#roster
    const near: string[] = []
    const far: string[] = []
    for (const id of overlay.neighboursOf(state)) {
      if (id === own.state.id || records.get(id)?.status !== 'alive') continue
      if (overlay.has(id)) near.push(id)
      else far.push(id)
    }
    const ordered = [...shuffle(near, this.#random), ...shuffle(far, this.#random)]
    return ordered.slice(0, this.#config.indirectProbes)
  }

  // -- answers --------------------------------------------------------------------------------------------------

  onAck(seq: number, from: string, nowMs: number): void {
    const errand = this.#errands.answered(seq, from)
    if (errand !== undefined) {
      this.#actions.send(errand.requester, { type: 'relayed-ack', seq: errand.requesterSeq })
      this.#succeeded(nowMs)
    } else if (this.#probes.answered(seq, from, false) !== undefined) {
      this.#counters.probesAnswered++
      this.#succeeded(nowMs)
    }
  }

  onRelayedAck(seq: number, from: string, nowMs: number): void {
    if (this.#probes.answered(seq, from, true) === undefined) return
    this.#counters.probesAnswered++
    this.#counters.probesAnsweredIndirectly++
    this.#succeeded(nowMs)
  }

  onNack(seq: number, from: string): void {
    this.#probes.nack(seq, from)
  }

  onPingReq(requesterSeq: number, from: string, target: string, nowMs: number): void {
    if (target === this.#roster.own.state.id || !this.#roster.records.get(target) || this.#errands.isFull) {
      this.#counters.errandsDeclined++
      this.#decline(from, requesterSeq)
      return
    }
    this.#counters.errands++
    const seq = this.#nextSeq()
    const patienceMs = (this.#config.probeDeadlineMs - this.#config.probeTimeoutMs) * NACK_SHARE
    this.#errands.start(seq, { requester: from, requesterSeq, target, deadlineAtMs: nowMs + patienceMs })
    this.#actions.ping(target, seq, false, nowMs)
  }

  /** A frame for this member never left. */
  unreachable(id: string, nowMs: number): void {
    this.#probes.unreachable(id, nowMs)
    for (const errand of this.#errands.expired(nowMs, id)) this.#decline(errand.requester, errand.requesterSeq)
    this.advance(nowMs)
  }

  // -- time -----------------------------------------------------------------------------------------------------

  shift(ms: number): void {
    this.#probes.shift(ms)
  }

  /** We stood still, or said goodbye: what was under way proves nothing any more. */
  clear(): void {
    this.#probes.clear()
    this.#errands.clear()
  }

  nextDueMs(): number {
    return Math.min(this.#probes.nextDueMs(), this.#errands.nextDueMs())
  }

  #decline(requester: string, seq: number): void {
    this.#actions.send(requester, { type: 'nack', seq })
  }

  #succeeded(nowMs: number): void {
    this.#awareness.probeSucceeded()
    this.#actions.succeeded(nowMs)
  }

  #nextSeq(): number {
    this.#seq = (this.#seq + 1) >>> 0
    return this.#seq
  }
}

/** A helper gives up after this share of the time that the requester has left, so that its nack arrives in time. */
const NACK_SHARE = 0.7
