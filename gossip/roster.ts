/**
 * Who is a member: facts and rumours come in, records and what is thought of them change, events go out. Two things are
 * kept apart: what this node thinks of the others (standing.ts), and how it answers what is said about itself
 * (self-defence.ts).
 */
import { isGenuine } from './accusations.ts'
import type { Awareness } from './awareness.ts'
import type { GossipConfig } from './config.ts'
import { HEARD } from './counters.ts'
import type { CoreCounters } from './counters.ts'
import type { FactsReader, SignedFacts } from './facts-signature.ts'
import type { Signer, Verifier } from './identity.ts'
import { shortId } from './messages.ts'
import type { Delta, Rumour } from './messages.ts'
import { Overlay } from './overlay.ts'
import type { OwnRecord } from './own-record.ts'
import { Records, isPresent, toMember } from './records.ts'
import type { MemberState } from './records.ts'
import type { SelfDoubt } from './self-doubt.ts'
import { SelfDefence } from './self-defence.ts'
import { Standing } from './standing.ts'
import type { StandingActions } from './standing.ts'
import type { Member, MemberFacts, MembershipEvent, OwnFacts } from './types.ts'
import { Verdicts } from './verdicts.ts'

/** More records than this in one message are reconciliation, and nothing to spread further. */
const NEWS_FACTS_MAX = 16

/** What the roster wants done. */
export interface RosterActions extends Pick<StandingActions, 'news' | 'warn'> {
  emit(event: MembershipEvent): void
  /** There is reason to probe this member now. */
  probe(id: string, nowMs: number): void
}

export interface RosterParts {
  config: GossipConfig
  signer: Signer
  verify: Verifier
  readFacts: FactsReader
  admits: (id: string) => boolean
  own: OwnRecord
  awareness: Awareness
  doubt: SelfDoubt
  counters: CoreCounters
  actions: RosterActions
}

export class Roster {
  readonly own: OwnRecord
  readonly records: Records
  readonly verdicts: Verdicts
  readonly overlay: Overlay
  readonly standing: Standing
  readonly defence: SelfDefence
  readonly #parts: RosterParts
  readonly #config: GossipConfig
  readonly #counters: CoreCounters
  readonly #actions: RosterActions
  #byName: MemberState[] | undefined

  constructor(parts: RosterParts) {
    const { config, own, verify, counters, actions } = parts
    this.own = own
    this.records = new Records(own.state, config.membersMax, verify)
    this.verdicts = new Verdicts(config, this.records, verify)
    this.overlay = new Overlay(own.state.id, this.records.present, config)
    this.#parts = parts
    this.#config = config
    this.#counters = counters
    this.#actions = actions
    const { records, verdicts, overlay } = this
    this.standing = new Standing({
      ...parts,
      records,
      verdicts,
      overlay,
      actions: {
        changed: (state, from, nowMs) => actions.emit({ type: 'status', member: this.#member(state, nowMs), from }),
        forget: (state) => this.#forget(state),
        news: actions.news,
        warn: actions.warn,
      },
    })
    this.defence = new SelfDefence({
      ...parts,
      changed: (nowMs) => this.#ownChanged(nowMs),
      twin: (address) => actions.emit({ type: 'twin', address }),
    })
  }

  get hasLeft(): boolean {
    return this.own.state.status === 'left'
  }

  /** Ordered by name, then id. */
  members(nowMs: number): Member[] {
    this.#byName ??= this.records.all.toSorted(
      (a, b) => compareText(a.facts.name, b.facts.name) || compareText(a.id, b.id),
    )
    return this.#byName.map((state) => this.#member(state, nowMs))
  }

  /** In no particular order. */
  each(nowMs: number, see: (member: Member) => void): void {
    for (const state of this.records.all) see(this.#member(state, nowMs))
  }

  member(id: string, nowMs: number): Member | undefined {
    const state = this.records.get(id)
    return state && this.#member(state, nowMs)
  }

  setFacts(facts: OwnFacts, nowMs: number): void {
    this.own.setFacts(facts)
    this.#ownChanged(nowMs)
    this.#emitFacts(this.own.state, nowMs)
  }

  leave(nowMs: number): void {
    this.own.leave(nowMs)
    this.#ownChanged(nowMs)
  }

  /** Members that are not admitted any more are forgotten at once, whatever their status. */
  expel(nowMs: number): void {
    const { own, admits } = this.#parts
    const expelled = this.records.all.filter(({ id }) => id !== own.state.id && !admits(id))
    for (const state of expelled) this.standing.expel(state, nowMs)
  }

  // -- records --------------------------------------------------------------------------------------------------

  merge(delta: Delta, from: string, nowMs: number): void {
    const isNews = delta.facts.length <= NEWS_FACTS_MAX
    const held = delta.facts.length === 0 ? undefined : this.records.get(from)?.signed
    for (const signed of delta.facts) {
      // A greeting tells what the last one told.
      if (held !== undefined && isSame(held, signed)) continue
      this.#mergeFacts(signed, delta.rumours, isNews ? from : undefined, nowMs)
    }
    // One of each member: to check what a sender repeats a thousand times would cost seconds.
    for (const rumour of new Map(delta.rumours.map((one) => [one.key, one])).values()) {
      if (!this.#mergeRumour(rumour, from, nowMs)) return
    }
  }

  #mergeFacts(signed: SignedFacts, rumours: readonly Rumour[], newsFrom: string | undefined, nowMs: number): void {
    const reading = this.#parts.readFacts(signed)
    if (!reading.ok) {
      this.#counters.factsRefused++
      return
    }
    const { parsed } = reading
    const { id } = parsed.facts
    if (id === this.own.state.id) {
      this.defence.meetOurselves(parsed, reading.signed, nowMs)
      return
    }
    if (!this.#parts.admits(id)) return
    const before = this.records.get(id)?.facts
    const rumour = before === undefined ? rumours.find(({ key }) => key === shortId(id)) : undefined
    if (rumour !== undefined && rumour.ageMs >= this.#config.forgetAfterMs) return
    const admitted = this.records.admit(parsed, reading.signed, nowMs)
    if (admitted.change === 'none') return
    if (admitted.change === 'refused') {
      this.#counters.factsRefused++
      return
    }
    this.#counters.factsAdmitted++
    const { state, change } = admitted
    if (before?.name !== state.facts.name) this.#byName = undefined
    if (before === undefined) {
      this.#introduce(state, rumour, nowMs)
    } else {
      this.records.changed(state)
      if (parsed.left) this.#depart(state, nowMs)
      else if (change === 'incarnation') this.standing.become(state, 'alive', undefined, nowMs)
      if (!sameButForIncarnation(before, state.facts)) this.#emitFacts(state, nowMs)
    }
    if (newsFrom === undefined) return
    this.#actions.news({ state, facts: true, rumour: state.status !== 'alive' }, newsFrom, nowMs)
  }

  #depart(state: MemberState, nowMs: number): void {
    if (state.status !== 'left') this.#counters.departures++
    this.standing.become(state, 'left', undefined, nowMs)
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
    if (isPresent(state)) this.overlay.joined(state)
    this.standing.settle(state)
    this.#actions.emit({ type: 'joined', member: this.#member(state, nowMs) })
  }

  /** False if it was forged. Whoever relays has checked, so the sender lies: no more of its rumours are worth a check. */
  #mergeRumour(rumour: Rumour, from: string, nowMs: number): boolean {
    const own = this.own.state
    if (rumour.key === own.key) {
      if (rumour.incarnation !== own.facts.incarnation) return true
      // A genuine accusation says that our answers are late; anybody can say the rest.
      const isProven = rumour.accusations.some((a) => this.records.get(a.accuser) && isGenuine(a, this.#parts.verify))
      this.defence.refute(rumour.incarnation, isProven, nowMs)
      return true
    }
    const state = this.records.byKey(rumour.key)
    if (state === undefined || rumour.incarnation !== state.facts.incarnation || rumour.status === 'left') return true
    if (!isPresent(state)) return true
    const evidence = state.evidence
    for (const accusation of rumour.accusations) {
      if (accusation.accused !== state.id) continue
      const hearing = this.verdicts.hear(accusation, nowMs)
      this.#counters[HEARD[hearing]]++
      if (hearing === 'forged') return false
    }
    if (state.accusations.length === 0) return true
    this.standing.suspect(state, rumour.ageMs, nowMs)
    const isNews = state.evidence !== evidence
    if (isNews) {
      this.records.changed(state)
      this.#actions.news({ state, facts: false, rumour: true }, from, nowMs)
    }
    if (rumour.status === 'dead') this.verdicts.hasten(state, nowMs)
    this.standing.judge(state, from, nowMs)
    if (isNews && state.status === 'suspect' && this.overlay.has(state.id)) this.#actions.probe(state.id, nowMs)
    return true
  }

  // -- changes --------------------------------------------------------------------------------------------------

  #ownChanged(nowMs: number): void {
    this.#byName = undefined
    this.records.changed(this.own.state)
    this.#actions.news({ state: this.own.state, facts: true, rumour: false }, undefined, nowMs)
  }

  #forget(state: MemberState): void {
    this.records.remove(state)
    this.#byName = undefined
    this.#actions.emit({ type: 'forgotten', id: state.id })
  }

  #member(state: MemberState, nowMs: number): Member {
    return toMember(state, this.records.reports, nowMs)
  }

  #emitFacts(state: MemberState, nowMs: number): void {
    this.#actions.emit({ type: 'facts', member: this.#member(state, nowMs) })
  }
}

function isSame(a: SignedFacts, b: SignedFacts): boolean {
  return Buffer.compare(a.signature, b.signature) === 0 && Buffer.compare(a.bytes, b.bytes) === 0
}

function sameButForIncarnation(a: MemberFacts, b: MemberFacts): boolean {
  return JSON.stringify({ ...a, incarnation: 0 }) === JSON.stringify({ ...b, incarnation: 0 })
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
