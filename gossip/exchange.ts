/**
 * What two members say to each other in an exchange (messages.ts draws it): the answering of pings, the comparing of
 * views, the telling of what the other lacks.
 */
import type { GossipConfig } from './config.ts'
import type { CoreCounters } from './counters.ts'
import { difference, digestOf, fillDelta, owedInFull } from './delta.ts'
import type { Difference, Owed } from './delta.ts'
import { EMPTY_DELTA, isEmptyDelta } from './messages.ts'
import type { Digest, DigestEntry, Message } from './messages.ts'
import type { Lane } from './network.ts'
import { OwnReport } from './own-report.ts'
import { shuffle } from './probe.ts'
import { ReportBoard } from './report-board.ts'
import type { Roster } from './roster.ts'
import type { LoadReport } from './types.ts'

export type Send = (to: string, lane: Lane, message: Message) => void

export class Exchange {
  readonly #config: GossipConfig
  readonly #roster: Roster
  readonly #report: OwnReport
  readonly #board: ReportBoard
  readonly #counters: CoreCounters
  readonly #random: () => number
  readonly #send: Send
  /** Where the next digest goes on through the members. */
  #digestCursor = 0

  constructor(config: GossipConfig, roster: Roster, counters: CoreCounters, random: () => number, send: Send) {
    const { reports } = roster.records
    this.#config = config
    this.#roster = roster
    this.#report = new OwnReport(reports, config.reportIntervalMs)
    this.#board = new ReportBoard(reports, config.reportBytesMax, counters)
    this.#counters = counters
    this.#random = random
    this.#send = send
  }

  setLoad(report: LoadReport, nowMs: number): void {
    this.#report.setLoad(report, nowMs)
  }

  /** A greeting tells everything that a stranger needs. */
  ping(to: string, seq: number, greeting: boolean, nowMs: number): void {
    const target = this.#roster.records.get(to)
    const owed: Owed[] = greeting || this.#roster.hasLeft ? [owedInFull(this.#roster.own.state)] : []
    // Whoever is suspected hears of it with the probe, and can refute with the answer.
    if (target?.status === 'suspect') owed.push({ state: target, facts: false, rumour: true })
    const { viewHash } = this.#roster.records
    const delta = owed.length > 0 ? fillDelta(owed, Infinity, nowMs).delta : EMPTY_DELTA
    const reports = this.#reports(nowMs, false)
    // Of many members a digest names a few, which is no use while the views may agree: the answer will tell.
    const { all } = this.#roster.records
    const names = greeting && !this.#roster.hasLeft && all.length <= this.#config.digestEntriesMax
    const digest = names ? { digest: this.#digest() } : {}
    this.#send(to, 'probe', { type: 'ping', seq, view: viewHash, reports, delta, ...digest })
  }

  onPing(nowMs: number, from: string, ping: Extract<Message, { type: 'ping' }>): void {
    const own = this.#roster.own.state
    const { incarnation } = own.facts
    this.#roster.merge(ping.delta, from, nowMs)
    this.#mergeReports(ping.reports, nowMs)
    const { owed, wants } = ping.digest === undefined ? noDifference() : this.#compare(ping.digest, nowMs)
    // It accused us: the answer refutes.
    if (own.facts.incarnation > incarnation && !owed.some(({ state }) => state === own)) owed.push(owedInFull(own))
    const now = fillDelta(owed, this.#config.probeDeltaBytesMax, nowMs)
    const differs = ping.digest === undefined && ping.view !== this.#roster.records.viewHash
    if (differs) this.#counters.viewsDiffered++
    this.#send(from, 'probe', {
      type: 'ack',
      seq: ping.seq,
      reports: this.#reports(nowMs, true),
      delta: now.delta,
      wants,
      ...(differs ? { digest: this.#digest() } : {}),
    })
    if (now.rest.length > 0) this.push(from, now.rest, [], nowMs)
  }

  onAck(nowMs: number, from: string, ack: Extract<Message, { type: 'ack' }>): void {
    this.#roster.merge(ack.delta, from, nowMs)
    this.#mergeReports(ack.reports, nowMs)
    this.#answer(from, ack.digest, ack.wants, nowMs)
  }

  onPush(nowMs: number, from: string, push: Extract<Message, { type: 'push' }>): void {
    this.#roster.merge(push.delta, from, nowMs)
    this.#answer(from, undefined, push.wants, nowMs)
  }

  /** Tells a peer what it lacks and asked for, and asks it for what we lack. */
  #answer(to: string, digest: Digest | undefined, wanted: readonly DigestEntry[], nowMs: number): void {
    if (digest === undefined && wanted.length === 0) return
    const { owed, wants } = digest === undefined ? noDifference() : this.#compare(digest, nowMs)
    if (wanted.length > 0) owed.push(...this.#compare({ complete: false, entries: [...wanted] }, nowMs).owed)
    this.push(to, owed, wants, nowMs)
  }

  #compare(digest: Digest, nowMs: number): Difference {
    for (const entry of digest.entries) this.#roster.defence.hear(entry, nowMs)
    const { owed, wants } = difference(this.#roster.records, digest)
    return { owed: shuffle(owed, this.#random), wants }
  }

  #digest(): Digest {
    const { records } = this.#roster
    const max = this.#config.digestEntriesMax
    const digest = digestOf(records, this.#roster.own.state, this.#roster.verdicts.suspects, max, this.#digestCursor)
    this.#digestCursor = (this.#digestCursor + max) % records.all.length
    return digest
  }

  #reports(nowMs: number, answering: boolean): Uint8Array {
    this.#report.refresh(nowMs)
    return this.#board.select(nowMs, answering)
  }

  #mergeReports(block: Uint8Array, nowMs: number): void {
    const claimed = this.#board.merge(block, nowMs)
    if (!this.#report.jumpPast(claimed)) this.#roster.defence.refute(0, false, nowMs)
  }

  /** Tells and asks, unless there is nothing to tell or to ask. What does not fit waits for another exchange. */
  push(to: string, owed: Owed[], wants: DigestEntry[], nowMs: number): void {
    const { delta, bytes } = fillDelta(owed, this.#config.bulkDeltaBytesMax, nowMs)
    if (isEmptyDelta(delta) && wants.length === 0) return
    this.#send(to, bytes > this.#config.probeDeltaBytesMax ? 'bulk' : 'probe', { type: 'push', delta, wants })
  }
}

function noDifference(): Difference {
  return { owed: [], wants: [] }
}
