/**
 * A node that was stalled (stopped, starved, suspended) wakes with deadlines that passed while answers lay unread, and
 * would accuse everybody. Any input that comes later than the appointed tick reveals the stall: small ones shift the
 * deadlines, large ones make the node unsure until an exchange begun afterwards succeeds, or `unsureMs` found nobody.
 * (Lifeguard's concern, section III: slow members cause most false accusations.)
 *
 * Somebody else who lives under this node's identity takes its connections away, so that others seem to fall silent:
 * then too it is no witness.
 */

/** After a proof that the identity is used twice, ms. The next one comes within seconds while it is. */
const RIVALLED_MS = 60_000

export class SelfDoubt {
  readonly #toleranceMs: number
  readonly #stallMs: number
  readonly #unsureMs: number
  #appointedMs = Infinity
  #unsureUntilMs = -Infinity
  #rivalledUntilMs = -Infinity

  /** Stalled = later than half the minimum suspicion. */
  constructor(config: { lateToleranceMs: number; suspicionMinMs: number; unsureMs: number }) {
    this.#toleranceMs = config.lateToleranceMs
    this.#stallMs = config.suspicionMinMs / 2
    this.#unsureMs = config.unsureMs
  }

  /** The shell was asked to tick at this time. */
  appoint(atMs: number): void {
    this.#appointedMs = atMs
  }

  /** Called with every input. How late it is beyond the tolerance (0 if it is not), and whether that was a stall. */
  observe(nowMs: number): { lateMs: number; stalled: boolean } {
    const lateMs = nowMs - this.#appointedMs
    if (lateMs <= this.#toleranceMs) return { lateMs: 0, stalled: false }
    // The next inputs must not count the same delay again.
    this.#appointedMs = nowMs
    const stalled = lateMs > this.#stallMs
    if (stalled) this.#unsureUntilMs = nowMs + this.#unsureMs
    return { lateMs, stalled }
  }

  exchangeSucceeded(): void {
    this.#unsureUntilMs = -Infinity
  }

  isUnsure(nowMs: number): boolean {
    return nowMs < this.#unsureUntilMs
  }

  /** A record proves that somebody else signs with our key. */
  rivalled(nowMs: number): void {
    this.#rivalledUntilMs = nowMs + RIVALLED_MS
  }

  /** Whether what this node fails to reach may be held against others. */
  isWitness(nowMs: number): boolean {
    return !this.isUnsure(nowMs) && nowMs >= this.#rivalledUntilMs
  }
}
