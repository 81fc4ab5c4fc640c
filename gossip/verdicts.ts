/**
 * When suspicion becomes death. A member is `suspect` from the first genuine accusation against its incarnation, and
 * `dead` when
 *   - enough members saw its port refuse (the host answers, its daemon is gone): at once, or
 *   - the suspicion timeout, which shrinks with every accuser, has passed without a higher incarnation of it. It is cut
 *     short by a rumour of death with enough accusers behind it: others have waited already.
 * "Enough" is min(accusersWanted, eligible); eligible is everybody who could accuse: alive or suspect, not the accused.
 * Suspects count as eligible on purpose: who suspects everybody at once is probably cut off itself, and waits longest.
 */
import { AccuserLimits, evidenceOf, isGenuine, withAccusation } from './accusations.ts'
import type { Accusation } from './accusations.ts'
import type { GossipConfig } from './config.ts'
import type { Verifier } from './identity.ts'
import { isPresent } from './records.ts'
import type { MemberState, Records } from './records.ts'
import { accusersRequired, suspicionTimeoutMs } from './suspicion.ts'
import type { DeadReason } from './types.ts'

/** What became of an accusation from the network. Only `taken` changed anything. */
export type Hearing = 'taken' | 'known' | 'stranger' | 'outdated' | 'forged' | 'replay' | 'too many'

export class Verdicts {
  readonly #config: GossipConfig
  readonly #records: Records
  readonly #verify: Verifier
  readonly #limits: AccuserLimits
  /** When each suspicion began, with the credit for the time it took to get here. */
  readonly #sinceMs = new Map<MemberState, number>()
  /** The earliest end of a suspicion; undefined: to be computed. */
  #dueMs: number | undefined = Infinity
  /** Accusers required when it was computed. */
  #dueRequired = 0

  constructor(config: GossipConfig, records: Records, verify: Verifier) {
    this.#config = config
    this.#records = records
    this.#verify = verify
    this.#limits = new AccuserLimits(config.accusationsPerSecondMax)
  }

  /** Judges an accusation from the network, and keeps it if it is genuine and new. */
  hear(accusation: Accusation, nowMs: number): Hearing {
    const accused = this.#records.get(accusation.accused)
    const accuser = this.#records.get(accusation.accuser)
    if (accused === undefined || accuser === undefined || accused === accuser) return 'stranger'
    if (!isPresent(accuser)) return 'stranger'
    if (!isPresent(accused) || accusation.incarnation !== accused.facts.incarnation) return 'outdated'
    const kept = withAccusation(accused.accusations, accusation)
    if (kept === undefined) return 'known'
    if (!isGenuine(accusation, this.#verify)) return 'forged'
    const admission = this.#limits.admit(accusation, nowMs)
    if (admission !== 'admitted') return admission
    this.keep(accused, kept)
    return 'taken'
  }

  /** Whether this was evidence that matters is for the caller to see (`evidence`). */
  keep(accused: MemberState, accusations: Accusation[]): void {
    accused.accusations = accusations
    accused.evidence = evidenceOf(accusations, this.#config.accusersWanted)
    this.#dueMs = undefined
  }

  /** The suspicion of a member begins, `ageMs` ago for those who heard of it late; how much of that counts is bounded. */
  begin(accused: MemberState, ageMs: number, nowMs: number): void {
    this.#sinceMs.set(accused, nowMs - Math.min(ageMs, this.#config.suspicionCreditMs))
    this.#dueMs = undefined
  }

  /** Ends the suspicion, whatever came of it. */
  end(accused: MemberState): void {
    if (this.#sinceMs.delete(accused)) this.#dueMs = undefined
  }

  /** At this moment: a list of its own, whatever becomes of them. */
  get suspects(): MemberState[] {
    return [...this.#sinceMs.keys()]
  }

  /** An accuser that died or left counts no more. Returns whom it had accused. */
  silence(accuser: MemberState): MemberState[] {
    this.#limits.forget(accuser.id)
    const accused: MemberState[] = []
    for (const state of this.#sinceMs.keys()) {
      const left = state.accusations.filter((a) => a.accuser !== accuser.id)
      if (left.length === state.accusations.length) continue
      this.keep(state, left)
      accused.push(state)
    }
    return accused
  }

  /**
   * Others call it dead and enough accusers agree. They may tell of the far side of a partition that has just healed,
   * so there remains time for one probe of our own: its target hears of the suspicion and refutes.
   */
  hasten(accused: MemberState, nowMs: number): void {
    const since = this.#sinceMs.get(accused)
    const required = this.#required()
    if (since === undefined || accused.accusations.length < required) return
    const graceMs = this.#config.probeDeadlineMs
    this.#sinceMs.set(accused, Math.min(since, nowMs + graceMs - this.#timeoutMs(accused, required)))
    this.#dueMs = undefined
  }

  /** The reason to call a suspect dead now, if there is one. */
  judge(accused: MemberState, nowMs: number): DeadReason | undefined {
    const since = this.#sinceMs.get(accused)
    if (since === undefined || accused.status !== 'suspect') return undefined
    const required = this.#required()
    let refusals = 0
    for (const { kind } of accused.accusations) if (kind === 'refused') refusals++
    if (refusals >= required) return 'daemon-only'
    if (nowMs < since + this.#timeoutMs(accused, required)) return undefined
    return refusals > 0 ? 'daemon-only' : 'silent'
  }

  shift(ms: number): void {
    for (const [accused, since] of this.#sinceMs) this.#sinceMs.set(accused, since + ms)
    this.#dueMs = undefined
  }

  nextDueMs(): number {
    const required = this.#required()
    if (this.#dueMs === undefined || required !== this.#dueRequired) {
      this.#dueMs = Infinity
      this.#dueRequired = required
      for (const [accused, since] of this.#sinceMs) {
        this.#dueMs = Math.min(this.#dueMs, since + this.#timeoutMs(accused, required))
      }
    }
    return this.#dueMs
  }

  #timeoutMs(accused: MemberState, required: number): number {
    const { suspicionMinMs, suspicionMaxFactor } = this.#config
    const confirmations = accused.accusations.length - 1
    return suspicionTimeoutMs(confirmations, required - 1, suspicionMinMs, suspicionMinMs * suspicionMaxFactor)
  }

  /** Everybody present but the accused, and this node. */
  #required(): number {
    return accusersRequired(this.#config.accusersWanted, this.#records.present.length)
  }
}
