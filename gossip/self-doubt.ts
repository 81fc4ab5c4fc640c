/**
 * A node that was stalled (stopped, starved, suspended) wakes with deadlines that passed while answers lay unread, and
 * would accuse everybody. Any input that comes later than the appointed tick reveals the stall: small ones shift the
 * deadlines, large ones make the node unsure until an exchange begun afterwards succeeds, or `unsureMs` found nobody.
 * (Lifeguard's concern, section III: slow members cause most false accusations.)
 */
export class SelfDoubt {
  readonly #toleranceMs: number
  readonly #stallMs: number
  readonly #unsureMs: number
  #appointedMs = Infinity
  #unsureUntilMs = -Infinity

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
}
