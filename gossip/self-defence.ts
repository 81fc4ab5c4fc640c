/**
 * How this node defends itself against what is said about it: it refutes a suspicion by a higher incarnation (SWIM,
 * section 4.2), and jumps past records that are its own but not from this life. What makes it do so may be a lie, so
 * both are done at a bounded rate; nothing true is lost by waiting, because one new incarnation refutes all that was
 * said before it.
 */
import type { Awareness } from './awareness.ts'
import type { GossipConfig } from './config.ts'
import type { CoreCounters } from './counters.ts'
import type { ParsedFacts, SignedFacts } from './facts-signature.ts'
import type { Verifier } from './identity.ts'
import type { DigestEntry } from './messages.ts'
import type { OwnRecord } from './own-record.ts'
import type { SelfDoubt } from './self-doubt.ts'
import { TokenBucket } from './token-bucket.ts'

/** A suspicion lasts longer than a second; more often nobody can have reason to doubt us. */
const REFUTATIONS_PER_SECOND = 10
/** Jumps of our own incarnation past records that are ours but not from this life. */
const JUMPS_AT_ONCE = 3
const JUMPS_PER_SECOND = 0.2

export interface SelfDefenceParts {
  config: GossipConfig
  own: OwnRecord
  verify: Verifier
  awareness: Awareness
  doubt: SelfDoubt
  counters: CoreCounters
  /** Our record is another one now. */
  changed: (nowMs: number) => void
  /** Somebody else lives under our identity. Said seldom. */
  twin: (address: string) => void
}

export class SelfDefence {
  readonly #parts: SelfDefenceParts
  readonly #refutations = new TokenBucket(REFUTATIONS_PER_SECOND, REFUTATIONS_PER_SECOND, 0)
  readonly #jumps = new TokenBucket(JUMPS_PER_SECOND, JUMPS_AT_ONCE, 0)
  #twinToldMs = -Infinity

  constructor(parts: SelfDefenceParts) {
    this.#parts = parts
  }

  /** Raises our incarnation. `isProven`: somebody did find us late. */
  refute(above: number, isProven: boolean, nowMs: number): void {
    const { own, awareness, counters, changed } = this.#parts
    if (own.state.status === 'left' || !this.#refutations.take(nowMs)) return
    own.raiseIncarnation(above)
    if (isProven) awareness.hadToRefute()
    counters.refutations++
    changed(nowMs)
  }

  /** Somebody's versions of a member, unsigned; if it is us they are believed only as far as it costs nothing. */
  hear(entry: DigestEntry, nowMs: number): void {
    const own = this.#parts.own.state
    if (entry.key !== own.key || entry.incarnation !== own.facts.incarnation) return
    if (entry.status !== 'alive') this.refute(entry.incarnation, false, nowMs)
  }

  /**
   * Facts about ourselves. After a restart others may hold some of an earlier life, which takes a jump or two. Beyond,
   * somebody else lives under our identity and jumps as we do: then we follow at a bounded rate, and say so.
   */
  meetOurselves(parsed: ParsedFacts, signed: SignedFacts, nowMs: number): void {
    const { config, own, verify, doubt, changed, twin } = this.#parts
    if (own.state.status === 'left' || !own.isRivalled(parsed, signed, verify)) return
    if (this.#jumps.take(nowMs)) {
      own.raiseIncarnation(parsed.facts.incarnation)
      changed(nowMs)
      return
    }
    doubt.rivalled(nowMs)
    if (nowMs - this.#twinToldMs >= config.strangerEveryMs) {
      this.#twinToldMs = nowMs
      const { gossipAddress, gossipPort } = parsed.facts
      twin(`${gossipAddress}:${gossipPort}`)
    }
  }
}
