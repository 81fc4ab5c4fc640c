/**
 * What this node thinks of each member, and when it changes its mind: it accuses, it believes accusations (verdicts.ts
 * holds the law), it calls the dead dead, and forgets those who are long gone.
 *
 *              accusation                  enough accusers, time
 *     alive ───────────────▶ suspect ─────────────────────────────▶ dead ──forgetAfterMs──▶ forgotten
 *       ▲                       │                                     │                        ▲
 *       └──── higher incarnation, signed by the member itself ────────┘     left: its facts ───┘
 *                                                                                say so
 */
import { accuse, withAccusation } from './accusations.ts'
import type { AccusationKind } from './accusations.ts'
import type { GossipConfig } from './config.ts'
import type { CoreCounters } from './counters.ts'
import type { Owed } from './delta.ts'
import type { Signer } from './identity.ts'
import type { Overlay } from './overlay.ts'
import type { OwnRecord } from './own-record.ts'
import { isPresent } from './records.ts'
import type { MemberState, Records } from './records.ts'
import type { SelfDoubt } from './self-doubt.ts'
import type { DeadReason, MemberStatus } from './types.ts'
import type { Verdicts } from './verdicts.ts'

export interface StandingActions {
  changed(state: MemberState, from: MemberStatus, nowMs: number): void
  /** It has been gone for so long that its record may go. */
  forget(state: MemberState): void
  /** Something is news. `heardFrom`: whose message it was in; undefined: our own. */
  news(owed: Owed, heardFrom: string | undefined, nowMs: number): void
  /** It is accused by us: it should hear of that at once. */
  warn(state: MemberState, nowMs: number): void
}

export interface StandingParts {
  config: GossipConfig
  signer: Signer
  own: OwnRecord
  records: Records
  verdicts: Verdicts
  overlay: Overlay
  doubt: SelfDoubt
  counters: CoreCounters
  actions: StandingActions
}

export class Standing {
  readonly #parts: StandingParts
  readonly #config: GossipConfig
  readonly #verdicts: Verdicts
  readonly #records: Records
  readonly #counters: CoreCounters
  readonly #actions: StandingActions
  /** Dead or left. */
  readonly #gone = new Set<MemberState>()
  /** When the first of them is to become quiet or to be forgotten. */
  #goneDueMs = Infinity

  constructor(parts: StandingParts) {
    this.#parts = parts
    this.#config = parts.config
    this.#verdicts = parts.verdicts
    this.#records = parts.records
    this.#counters = parts.counters
    this.#actions = parts.actions
  }

  // -- verdicts -------------------------------------------------------------------------------------------------

  /** This node accuses it, unless it has nothing to add, or reason to doubt itself. */
  accuse(state: MemberState, kind: AccusationKind, nowMs: number): void {
    const own = this.#parts.own.state
    if (state === own || own.status === 'left' || !this.#parts.doubt.isWitness(nowMs) || !isPresent(state)) return
    if (state.accusations.some((a) => a.accuser === own.id && (a.kind === 'refused' || kind === 'silent'))) return
    const accused = { id: state.id, incarnation: state.facts.incarnation }
    const accusation = accuse(accused, own.facts.incarnation, kind, nowMs, this.#parts.signer)
    const kept = withAccusation(state.accusations, accusation)
    if (kept === undefined) return
    this.#counters.accusationsMade++
    const evidence = state.evidence
    this.#verdicts.keep(state, kept)
    this.suspect(state, 0, nowMs)
    this.#records.changed(state)
    if (state.evidence !== evidence) this.#actions.news({ state, facts: false, rumour: true }, undefined, nowMs)
    this.#actions.warn(state, nowMs)
    this.#judge(state, undefined, nowMs)
  }

  /** There is evidence against a member: it is suspect, if it was alive. */
  suspect(state: MemberState, ageMs: number, nowMs: number): void {
    if (state.status !== 'alive') return
    this.#counters.suspicions++
    this.#verdicts.begin(state, ageMs, nowMs)
    this.become(state, 'suspect', undefined, nowMs)
  }

  /** Calls it dead if the evidence is enough by now, which came with a message from `heardFrom`. */
  judge(state: MemberState, heardFrom: string, nowMs: number): void {
    if (!this.#parts.doubt.isUnsure(nowMs)) this.#judge(state, heardFrom, nowMs)
  }

  /** Suspicions whose time is up. */
  judgeSuspects(nowMs: number): void {
    if (nowMs < this.#verdicts.nextDueMs() || this.#parts.doubt.isUnsure(nowMs)) return
    for (const state of this.#verdicts.suspects) this.#judge(state, undefined, nowMs)
  }

  #judge(state: MemberState, heardFrom: string | undefined, nowMs: number): void {
    const reason = this.#verdicts.judge(state, nowMs)
    if (reason === undefined) return
    if (reason === 'silent') this.#counters.deathsSilent++
    else this.#counters.deathsDaemonOnly++
    this.become(state, 'dead', reason, nowMs)
    this.#actions.news({ state, facts: false, rumour: true }, heardFrom, nowMs)
  }

  // -- statuses -------------------------------------------------------------------------------------------------

  become(state: MemberState, status: MemberStatus, reason: DeadReason | undefined, nowMs: number): void {
    const from = state.status
    if (from === status) return
    state.status = status
    state.deadReason = reason
    state.statusSinceMs = nowMs
    if (status !== 'suspect') this.#verdicts.end(state)
    if (status === 'alive') this.#verdicts.keep(state, [])
    this.settle(state)
    if (!isPresent(state)) for (const accused of this.#verdicts.silence(state)) this.#records.changed(accused)
    this.#actions.changed(state, from, nowMs)
  }

  /** Brings everything that hangs on a member's status in line with it. */
  settle(state: MemberState): void {
    const wasPresent = state.presentAt >= 0
    const isGone = !isPresent(state)
    state.quiet = false
    this.#records.changed(state)
    if (isGone) {
      this.#gone.add(state)
      this.#goneDueMs = Math.min(this.#goneDueMs, this.#quietAtMs(state))
    } else {
      this.#gone.delete(state)
    }
    if (wasPresent && isGone) this.#parts.overlay.gone(state)
    else if (!wasPresent && !isGone) this.#parts.overlay.joined(state)
  }

  // -- the gone -------------------------------------------------------------------------------------------------

  /** It is no member any more, whatever its status, and forgotten at once. */
  expel(state: MemberState, nowMs: number): void {
    this.become(state, 'left', undefined, nowMs)
    this.#forget(state)
  }

  /** Those about to be forgotten are passed on no more; those long gone are forgotten. */
  forgetTheLongGone(nowMs: number): void {
    if (nowMs < this.#goneDueMs) return
    this.#goneDueMs = Infinity
    for (const state of this.#gone) {
      const forgetAtMs = state.statusSinceMs + this.#config.forgetAfterMs
      if (nowMs >= forgetAtMs) {
        this.#forget(state)
        continue
      }
      if (!state.quiet && nowMs >= this.#quietAtMs(state)) {
        state.quiet = true
        this.#records.changed(state)
      }
      this.#goneDueMs = Math.min(this.#goneDueMs, state.quiet ? forgetAtMs : this.#quietAtMs(state))
    }
  }

  #forget(state: MemberState): void {
    this.#gone.delete(state)
    this.#actions.forget(state)
  }

  #quietAtMs(state: MemberState): number {
    return state.statusSinceMs + this.#config.forgetAfterMs - this.#config.forgetQuietMs
  }
}
