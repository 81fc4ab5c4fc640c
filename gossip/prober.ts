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
import type { Probe } from './probe.ts'
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
    this.#introduced(id)
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
    if (state.heardAtMs > -Infinity || this.#linked.has(id)) return true
    return this.#nowMs - state.introducedMs > this.#config.introductionMs
  }

  readonly #isFresh = (id: string): boolean => (this.#roster.records.get(id)?.heardAtMs ?? -Infinity) > this.#freshMs

  /** There is nothing to wait for any more. */
  #introduced(id: string): void {
    const state = this.#roster.records.get(id)
    if (state !== undefined) state.introducedMs = -Infinity
  }

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
    const { probeTimeoutMs, probeDeadlineMs, probeFinalMs, indirectProbes } = this.#config
    const timeoutMs = this.#awareness.scale(probeTimeoutMs)
    const deadlineMs = this.#awareness.scale(probeDeadlineMs)
    this.#counters.probesSent++
    this.#probes.start({
      seq,
      target,
      timeoutAtMs: nowMs + timeoutMs,
      deadlineAtMs: nowMs + deadlineMs,
      // By then a nack is there, unless a segment was lost on its way.
      askAgainAtMs: nowMs + deadlineMs + timeoutMs,
      finalAtMs: nowMs + deadlineMs + probeFinalMs - probeDeadlineMs,
      asked: 0,
      repeated: false,
      helpers: new Set(),
      pending: new Set(),
      blaming: new Set(),
      nacks: 0,
      nacksWanted: indirectProbes,
      greeting,
    })
    this.#actions.ping(target, seq, greeting, nowMs)
    return seq
  }

  /** Timeouts and deadlines. */
  advance(nowMs: number): void {
    if (nowMs < this.nextDueMs()) return
    const { wantHelpers, repeats, failed } = this.#probes.due(nowMs)
    for (const probe of wantHelpers) this.#askForHelp(probe)
    // Where messages are lost one by one. No earlier, because one that is slow is not helped by more to do.
    for (const { target, seq } of repeats) if (this.#linked.has(target)) this.#actions.ping(target, seq, false, nowMs)
    for (const probe of failed) {
      if (probe.greeting) continue
      this.#counters.probesFailed++
      this.#awareness.probeFailed(probe.blaming.size)
      const state = this.#roster.records.get(probe.target)
      if (state !== undefined) this.#roster.standing.accuse(state, 'silent', nowMs)
    }
    for (const errand of this.#errands.expired(nowMs)) this.#decline(errand.requester, errand.requesterSeq)
  }

  /**
   * At first only those are asked to whom there is a link: most of the late are late by one lost segment, and no reason
   * for handshakes.
   */
  #askForHelp(probe: Probe): void {
    const { target, seq, helpers, pending, blaming } = probe
    const { near, far } = this.#helpersFor(target)
    const candidates = probe.asked === 1 ? near : [...near, ...far]
    for (const helper of candidates.filter((id) => !helpers.has(id)).slice(0, this.#config.indirectProbes)) {
      helpers.add(helper)
      pending.add(helper)
      // The silence of one that must first be dialled may be the dial's, and says nothing about us.
      if (near.includes(helper)) blaming.add(helper)
      this.#counters.indirectProbesSent++
      this.#actions.send(helper, { type: 'ping-req', seq, target })
    }
    probe.nacksWanted = Math.max(1, Math.min(this.#config.indirectProbes, near.length + far.length))
  }

  /** Neighbours of the target have a connection to it; those of them that are near have one to us as well. */
  #helpersFor(target: string): { near: string[]; far: string[] } {
    const near: string[] = []
    const far: string[] = []
    const state = this.#roster.records.get(target)
    if (state === undefined) return { near, far }
    const { overlay, own, records } = this.#roster
    for (const id of overlay.neighboursOf(state)) {
      if (id === own.state.id || records.get(id)?.status !== 'alive') continue
      if (overlay.has(id) && this.#linked.has(id)) near.push(id)
      else far.push(id)
    }
    return { near: shuffle(near, this.#random), far: shuffle(far, this.#random) }
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

  onNack(seq: number, from: string, nowMs: number): void {
    this.#probes.nack(seq, from)
    this.advance(nowMs)
  }

  onPingReq(requesterSeq: number, from: string, target: string, nowMs: number): void {
    if (target === this.#roster.own.state.id || !this.#roster.records.get(target) || this.#errands.isFull) {
      this.#counters.errandsDeclined++
      this.#decline(from, requesterSeq)
      return
    }
    this.#counters.errands++
    const seq = this.#nextSeq()
    const patienceMs = this.#config.probeDeadlineMs * HELPER_SHARE
    this.#errands.start(seq, { requester: from, requesterSeq, target, deadlineAtMs: nowMs + patienceMs })
    this.#actions.ping(target, seq, false, nowMs)
  }

  /** A frame for this member never left. */
  unreachable(id: string, nowMs: number): void {
    this.#probes.unreachable(id, nowMs)
    this.#introduced(id)
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

/**
 * A helper has almost as much patience with the target as the requester: it, too, forgives one lost segment. The rest is
 * for the way of its nack.
 */
const HELPER_SHARE = 0.85
