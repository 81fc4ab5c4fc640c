/**
 * What this node says about itself, and the one thing only it may do: raise its incarnation. It does so to refute a
 * suspicion, and to jump past a version of itself that it does not remember (it was restarted, or its clock went back).
 */
import { VERSION_MAX } from './checks.ts'
import { GossipError } from './errors.ts'
import { isSignedBy, parseFacts, signFacts, wrongField } from './facts-signature.ts'
import type { ParsedFacts, SignedFacts } from './facts-signature.ts'
import type { Signer, Verifier } from './identity.ts'
import { PROTOCOL_VERSION } from './codec.ts'
import { newState } from './records.ts'
import type { MemberState } from './records.ts'
import type { MemberFacts, OwnFacts } from './types.ts'

export class OwnRecord {
  readonly state: MemberState
  readonly #signer: Signer
  readonly #software: string

  /** Throws GossipError E_GOSSIP_FACTS. */
  constructor(signer: Signer, software: string, facts: OwnFacts, incarnation: number, nowMs: number) {
    this.#signer = signer
    this.#software = software
    const { parsed, signed } = this.#sign(facts, incarnation, 1, false)
    this.state = newState(parsed, signed, nowMs)
  }

  /** Throws GossipError E_GOSSIP_FACTS. */
  setFacts(facts: OwnFacts): void {
    const { facts: held, status } = this.state
    this.#replace(facts, held.incarnation, this.state.factsVersion + 1, status === 'left')
  }

  /** A higher incarnation: whoever suspected the old one has to think again. */
  raiseIncarnation(above: number): void {
    const incarnation = Math.min(VERSION_MAX, Math.max(above, this.state.facts.incarnation) + 1)
    this.#replace(this.state.facts, incarnation, 1, false)
  }

  leave(nowMs: number): void {
    this.#replace(this.state.facts, this.state.facts.incarnation, this.state.factsVersion + 1, true)
    this.state.status = 'left'
    this.state.statusSinceMs = nowMs
  }

  /**
   * Whether facts about us that somebody holds are genuine and not older than ours, yet not ours: they are from an
   * earlier life, or from somebody who lives under our identity.
   */
  isRivalled(parsed: ParsedFacts, signed: SignedFacts, verify: Verifier): boolean {
    const { incarnation } = this.state.facts
    const theirs = parsed.facts.incarnation
    if (theirs < incarnation || (theirs === incarnation && parsed.version < this.state.factsVersion)) return false
    if (Buffer.compare(signed.bytes, this.state.signed.bytes) === 0) return false
    return isSignedBy(this.state.id, signed, verify)
  }

  #replace(facts: OwnFacts, incarnation: number, version: number, left: boolean): void {
    const { parsed, signed } = this.#sign(facts, incarnation, version, left)
    this.state.facts = parsed.facts
    this.state.factsVersion = version
    this.state.signed = signed
  }

  #sign(
    facts: OwnFacts,
    incarnation: number,
    version: number,
    left: boolean,
  ): { parsed: ParsedFacts; signed: SignedFacts } {
    const full: MemberFacts = {
      ...facts,
      id: this.#signer.id,
      incarnation,
      protocol: { min: PROTOCOL_VERSION, max: PROTOCOL_VERSION },
      software: this.#software,
    }
    const wrong = wrongField({ ...full })
    if (wrong !== undefined) {
      throw new GossipError(
        'E_GOSSIP_FACTS',
        `this node cannot say that its ${wrong} is ${JSON.stringify(full[wrong])}`,
        `Correct the configuration behind ${wrong}: the value is out of range or too long to be gossiped.`,
      )
    }
    const signed = signFacts({ facts: full, version, left }, this.#signer)
    const verdict = parseFacts(signed.bytes)
    if (!verdict.ok) {
      throw new GossipError('E_GOSSIP_FACTS', `this node's record is refused (${verdict.reason})`, 'Shorten its lists.')
    }
    return { parsed: verdict.parsed, signed }
  }
}
