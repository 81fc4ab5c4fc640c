/**
 * When suspicion becomes death. A member is `suspect` from the first genuine accusation against its incarnation, and
 * `dead` when
 *   - enough members saw its port refuse (the host answers, its daemon is gone): at once, or
 *   - the suspicion timeout, which shrinks with every accuser, has passed without a higher incarnation of it. It is cut
 *     short by a rumour of death with enough accusers behind it: others have waited already.
 * "Enough" is min(accusersWanted, eligible); eligible is everybody who could accuse: alive or suspect, not the accused.
 * Suspects count as eligible on purpose: who suspects everybody at once is probably cut off itself, and waits longest.
 */
import { AccuserLimits, isGenuine, keepAccusation } from './accusations.ts'
import type { Accusation } from './accusations.ts'
import type { GossipConfig } from './config.ts'
import type { Verifier } from './identity.ts'
import type { MemberState, Records } from './records.ts'
import { accusersRequired, suspicionTimeoutMs } from './suspicion.ts'
import type { DeadReason } from './types.ts'

export class Verdicts {
  readonly #config: GossipConfig
  readonly #records: Records
  readonly #verify: Verifier
  readonly #limits: AccuserLimits
  /** When each suspicion began, with the credit for the time it took to get here. */
  readonly #sinceMs = new Map<string, number>()

  constructor(config: GossipConfig, records: Records, verify: Verifier) {
    this.#config = config
    this.#records = records
    this.#verify = verify
    this.#limits = new AccuserLimits(config.accusationsPerSecondMax)
  }

  /**
   * Takes an accusation from the network. True if it is new, genuine, and against the present incarnation of a member
   * that can still be suspected.
   */
  take(accusation: Accusation, nowMs: number): boolean {
    const accused = this.#records.get(accusation.accused)
    const accuser = this.#records.get(accusation.accuser)
    if (accused === undefined || accuser === undefined || accused === accuser) return false
    if (!canVote(accused) || !canVote(accuser)) return false
    if (accusation.incarnation !== accused.facts.incarnation) return false
    const held = accused.accusations.find((a) => a.accuser === accusation.accuser)
    if (held !== undefined && (held.kind === 'refused' || accusation.kind === 'silent')) return false
    if (!isGenuine(accusation, this.#verify)) return false
    if (!this.#limits.admit(accusation, nowMs)) return false
    return keepAccusation(accused.accusations, accusation)
  }

  /** The suspicion of a member begins, `ageMs` ago for those who heard of it late; how much of that counts is bounded. */
  begin(accused: MemberState, ageMs: number, nowMs: number): void {
    this.#sinceMs.set(accused.id, nowMs - Math.min(ageMs, this.#config.suspicionCreditMs))
  }

  /** Ends the suspicion, whatever came of it. */
  end(accused: MemberState): void {
    this.#sinceMs.delete(accused.id)
  }

  /** An accuser that died or left counts no more. */
  silence(accuser: MemberState): void {
    this.#limits.forget(accuser.id)
    for (const state of this.#records.all()) {
      if (state.status !== 'suspect') continue
      state.accusations = state.accusations.filter((a) => a.accuser !== accuser.id)
    }
  }

  /**
   * Others call it dead and enough accusers agree. They may tell of the far side of a partition that has just healed,
   * so there remains time for one probe of our own: its target hears of the suspicion and refutes.
   */
  hasten(accused: MemberState, nowMs: number): void {
    const since = this.#sinceMs.get(accused.id)
    const required = this.#required()
    if (since === undefined || accused.accusations.length < required) return
    const graceMs = this.#config.probeDeadlineMs
    this.#sinceMs.set(accused.id, Math.min(since, nowMs + graceMs - this.#timeoutMs(accused, required)))
  }

  /** The reason to call a suspect dead now, if there is one. */
  judge(accused: MemberState, nowMs: number): DeadReason | undefined {
    const since = this.#sinceMs.get(accused.id)
    if (since === undefined || accused.status !== 'suspect') return undefined
    const required = this.#required()
    const refusals = accused.accusations.filter((a) => a.kind === 'refused').length
    if (refusals >= required) return 'daemon-only'
    if (nowMs < since + this.#timeoutMs(accused, required)) return undefined
    return refusals > 0 ? 'daemon-only' : 'silent'
  }

  shift(ms: number): void {
    for (const [id, since] of this.#sinceMs) this.#sinceMs.set(id, since + ms)
  }

  nextDueMs(): number {
    let next = Infinity
    for (const [id, since] of this.#sinceMs) {
      const accused = this.#records.get(id)
      if (accused !== undefined) next = Math.min(next, since + this.#timeoutMs(accused, this.#required()))
    }
    return next
  }

  #timeoutMs(accused: MemberState, required: number): number {
    const { suspicionMinMs, suspicionMaxFactor } = this.#config
    const confirmations = accused.accusations.length - 1
    return suspicionTimeoutMs(confirmations, required - 1, suspicionMinMs, suspicionMinMs * suspicionMaxFactor)
  }

  #required(): number {
    let voters = 0
    for (const state of this.#records.all()) if (canVote(state)) voters++
    return accusersRequired(this.#config.accusersWanted, voters - 1)
  }
}

function canVote(state: MemberState): boolean {
  return state.status === 'alive' || state.status === 'suspect'
}
