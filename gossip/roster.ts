/**
 * Who is a member, and what this node thinks of each: facts, reports and rumours come in, statuses change, events go
 * out. Here accusations are made and believed (verdicts.ts holds the law), and here this node defends itself.
 *
 *              accusation                  enough accusers, time
 *     alive ───────────────▶ suspect ─────────────────────────────▶ dead
 *       ▲                       │                                     │
 *       └──── higher incarnation, signed by the member itself ────────┘        left: its facts say so
 */
import { accuse, keepAccusation } from './accusations.ts'
import type { AccusationKind } from './accusations.ts'
import type { Awareness } from './awareness.ts'
import type { GossipConfig } from './config.ts'
import { fillDelta, owedInFull } from './delta.ts'
import { parseFacts } from './facts-signature.ts'
import type { SignedFacts } from './facts-signature.ts'
import type { Signer, Verifier } from './identity.ts'
import { EMPTY_DELTA, shortId } from './messages.ts'
import type { Delta, DigestEntry, Rumour } from './messages.ts'
import type { OwnRecord } from './own-record.ts'
import { Records, toMember } from './records.ts'
import type { MemberState } from './records.ts'
import type { SelfDoubt } from './self-doubt.ts'
import type { DeadReason, Member, MemberFacts, MemberStatus, MembershipEvent, OwnFacts } from './types.ts'
import { Verdicts } from './verdicts.ts'

/** What the roster wants done. */
export interface RosterActions {
  emit(event: MembershipEvent): void
  /** To the member concerned, if any, and to as many others as are told at once. */
  broadcast(delta: Delta, concerned: string | undefined): void
  /** There is reason to probe this member now. */
  probe(id: string, nowMs: number): void
}

export interface RosterCounters {
  factsRefused: number
  accusationsMade: number
  refutations: number
}

export interface RosterParts {
  config: GossipConfig
  signer: Signer
  verify: Verifier
  own: OwnRecord
  awareness: Awareness
  doubt: SelfDoubt
  counters: RosterCounters
  actions: RosterActions
}

export class Roster {
  readonly own: OwnRecord
  readonly records: Records
  readonly verdicts: Verdicts
  readonly #config: GossipConfig
  readonly #signer: Signer
  readonly #verify: Verifier
  readonly #awareness: Awareness
  readonly #doubt: SelfDoubt
  readonly #counters: RosterCounters
  readonly #actions: RosterActions

  constructor(parts: RosterParts) {
    this.own = parts.own
    this.records = new Records(parts.config.membersMax, parts.verify)
    this.records.insert(parts.own.state)
    this.verdicts = new Verdicts(parts.config, this.records, parts.verify)
    this.#config = parts.config
    this.#signer = parts.signer
    this.#verify = parts.verify
    this.#awareness = parts.awareness
    this.#doubt = parts.doubt
    this.#counters = parts.counters
    this.#actions = parts.actions
  }

  members(nowMs: number): Member[] {
    return [...this.records.all()]
      .map((state) => toMember(state, this.own.state.id, nowMs))
      .sort((a, b) => compareText(a.facts.name, b.facts.name) || compareText(a.facts.id, b.facts.id))
  }

  /** Everybody but this node, in one of these statuses. */
  others(statuses: readonly MemberStatus[]): MemberState[] {
    return [...this.records.all()].filter((state) => state !== this.own.state && statuses.includes(state.status))
  }

  setFacts(facts: OwnFacts, nowMs: number): void {
    this.own.setFacts(facts)
    this.#emitFacts(this.own.state, nowMs)
  }

  // -- verdicts -------------------------------------------------------------------------------------------------

  accuse(state: MemberState, kind: AccusationKind, nowMs: number): void {
    if (state.id === this.own.state.id || this.own.state.status === 'left' || this.#doubt.isUnsure(nowMs)) return
    if (state.status !== 'alive' && state.status !== 'suspect') return
    if (state.accusations.some((a) => a.accuser === this.own.state.id && (a.kind === 'refused' || kind === 'silent')))
      return
    const { incarnation } = this.own.state.facts
    const accusation = accuse(
      { id: state.id, incarnation: state.facts.incarnation },
      incarnation,
      kind,
      nowMs,
      this.#signer,
    )
    if (!keepAccusation(state.accusations, accusation)) return
    this.#counters.accusationsMade++
    this.#suspect(state, 0, nowMs)
    this.#judge(state, nowMs)
    this.#tellUrgently(state, nowMs)
  }

  /** There is evidence against a member: it is suspect, if it was alive. */
  #suspect(state: MemberState, ageMs: number, nowMs: number): void {
    if (state.status !== 'alive') return
    this.verdicts.begin(state, ageMs, nowMs)
    this.#setStatus(state, 'suspect', undefined, nowMs)
  }

  #judge(state: MemberState, nowMs: number): void {
    const reason = this.verdicts.judge(state, nowMs)
    if (reason === undefined) return
    this.#setStatus(state, 'dead', reason, nowMs)
    this.#tellUrgently(state, nowMs)
  }

  /** Suspicions whose time is up. */
  judgeSuspects(nowMs: number): void {
    if (this.#doubt.isUnsure(nowMs)) return
    for (const state of this.others(['suspect'])) this.#judge(state, nowMs)
  }

  #setStatus(state: MemberState, status: MemberStatus, reason: DeadReason | undefined, nowMs: number): void {
    const from = state.status
    if (from === status) return
    state.status = status
    state.deadReason = reason
    state.statusSinceMs = nowMs
    if (status !== 'suspect') this.verdicts.end(state)
    if (status === 'alive') state.accusations = []
    if (status === 'dead' || status === 'left') this.verdicts.silence(state)
    this.#actions.emit({ type: 'status', member: toMember(state, this.own.state.id, nowMs), from })
  }

  #refute(above: number): void {
    if (this.own.state.status === 'left') return
    this.own.raiseIncarnation(above)
    this.#awareness.hadToRefute()
    this.#counters.refutations++
    this.#actions.broadcast({ ...EMPTY_DELTA, facts: [this.own.state.signed] }, undefined)
  }

  /** Somebody's versions of us, unsigned: believed only as far as it costs nothing. */
  hearAboutSelf(entry: DigestEntry): void {
    const own = this.own.state
    if (entry.key !== own.key || entry.incarnation !== own.facts.incarnation) return
    if (entry.reportVersion > own.reportVersion) this.own.jumpPastReport(entry.reportVersion)
    if (entry.status !== 'alive') this.#refute(entry.incarnation)
  }

  // -- records --------------------------------------------------------------------------------------------------

  merge(delta: Delta, nowMs: number): void {
    const rumours = new Map(delta.rumours.map((rumour) => [rumour.key, rumour]))
    for (const signed of delta.facts) this.#mergeFacts(signed, rumours, nowMs)
    for (const entry of delta.reports) {
      if (entry.key !== this.own.state.key) this.records.admitReport(entry, nowMs)
      else if (entry.incarnation === this.own.state.facts.incarnation && entry.version > this.own.state.reportVersion) {
        this.own.jumpPastReport(entry.version)
      }
    }
    for (const rumour of delta.rumours) this.#mergeRumour(rumour, nowMs)
  }

  #mergeFacts(signed: SignedFacts, rumours: Map<string, Rumour>, nowMs: number): void {
    const verdict = parseFacts(signed.bytes)
    if (!verdict.ok) {
      this.#counters.factsRefused++
      return
    }
    const { parsed } = verdict
    if (parsed.facts.id === this.own.state.id) {
      if (this.own.state.status === 'left' || !this.own.jumpPast(parsed, signed, this.#verify)) return
      this.#actions.broadcast({ ...EMPTY_DELTA, facts: [this.own.state.signed] }, undefined)
      return
    }
    const before = this.records.get(parsed.facts.id)?.facts
    const rumour = rumours.get(shortId(parsed.facts.id))
    if (before === undefined && rumour !== undefined && rumour.ageMs >= this.#config.forgetAfterMs) return
    const admitted = this.records.admit(parsed, signed, nowMs)
    if (admitted.change === 'refused') this.#counters.factsRefused++
    if (admitted.change === 'none' || admitted.change === 'refused') return
    const { state, change } = admitted
    if (change === 'new') {
      this.#introduce(state, rumour, nowMs)
      return
    }
    if (parsed.left) this.#setStatus(state, 'left', undefined, nowMs)
    else if (change === 'incarnation') this.#setStatus(state, 'alive', undefined, nowMs)
    if (before !== undefined && !sameButForIncarnation(before, state.facts)) this.#emitFacts(state, nowMs)
  }

  /** A member never heard of: for a start, the teller's opinion of it is as good as any. */
  #introduce(state: MemberState, rumour: Rumour | undefined, nowMs: number): void {
    if (rumour !== undefined && rumour.incarnation === state.facts.incarnation) {
      if (rumour.status === 'dead') {
        state.status = 'dead'
        state.deadReason = rumour.deadReason ?? 'silent'
      }
      if (rumour.status !== 'suspect') state.statusSinceMs = nowMs - rumour.ageMs
    }
    this.#actions.emit({ type: 'joined', member: toMember(state, this.own.state.id, nowMs) })
  }

  #mergeRumour(rumour: Rumour, nowMs: number): void {
    const own = this.own.state
    if (rumour.key === own.key) {
      if (rumour.incarnation === own.facts.incarnation) this.#refute(rumour.incarnation)
      return
    }
    const state = this.records.byKey(rumour.key)
    if (state === undefined || rumour.incarnation !== state.facts.incarnation || rumour.status === 'left') return
    if (state.status !== 'alive' && state.status !== 'suspect') return
    let news = false
    for (const accusation of rumour.accusations) {
      if (accusation.accused === state.id && this.verdicts.take(accusation, nowMs)) news = true
    }
    if (state.accusations.length === 0) return
    this.#suspect(state, rumour.ageMs, nowMs)
    if (rumour.status === 'dead') this.verdicts.hasten(state, nowMs)
    if (!this.#doubt.isUnsure(nowMs)) this.#judge(state, nowMs)
    if (news && state.status === 'suspect') this.#actions.probe(state.id, nowMs)
  }

  forgetTheLongGone(nowMs: number): void {
    for (const state of this.others(['dead', 'left'])) {
      if (nowMs - state.statusSinceMs < this.#config.forgetAfterMs) continue
      this.records.remove(state)
      this.#actions.emit({ type: 'forgotten', id: state.id })
    }
  }

  /** About to be forgotten: whoever has forgotten it already must not be reminded. */
  isQuiet(state: MemberState, nowMs: number): boolean {
    if (state.status !== 'dead' && state.status !== 'left') return false
    if (state === this.own.state) return false
    return nowMs - state.statusSinceMs > this.#config.forgetAfterMs - this.#config.forgetQuietMs
  }

  #tellUrgently(state: MemberState, nowMs: number): void {
    const { delta } = fillDelta([{ ...owedInFull(state), facts: false, report: false }], Infinity, nowMs)
    this.#actions.broadcast(delta, state.id)
  }

  #emitFacts(state: MemberState, nowMs: number): void {
    this.#actions.emit({ type: 'facts', member: toMember(state, this.own.state.id, nowMs) })
  }
}

function sameButForIncarnation(a: MemberFacts, b: MemberFacts): boolean {
  return JSON.stringify({ ...a, incarnation: 0 }) === JSON.stringify({ ...b, incarnation: 0 })
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
