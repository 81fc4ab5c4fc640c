/**
 * Local health (Lifeguard, section IV-A): a node whose probes fail while its helpers stay silent too is probably slow
 * itself, so it gives everybody more time. The score multiplies probe timeouts by (score + 1). Our probe *interval*
 * does not grow with it: probes carry the gossip, and load reports must stay fresh.
 */
export class Awareness {
  #score = 0
  readonly #max: number

  constructor(max: number) {
    this.#max = max
  }

  /** 0 is healthy; at most `max`. */
  get score(): number {
    return this.#score
  }

  /** A probe was answered in time. */
  probeSucceeded(): void {
    this.#add(-1)
  }

  /**
   * A probe failed. `missingNacks` helpers did not even say that they had failed; with no helper to ask (two nodes)
   * nothing is learned about oneself.
   */
  probeFailed(missingNacks: number): void {
    this.#add(missingNacks)
  }

  /** Somebody suspected us: our answers are late. */
  hadToRefute(): void {
    this.#add(1)
  }

  /** We stood still: whatever is late for the next while is late because of us. Each answer in time heals one step. */
  stalled(): void {
    this.#add(this.#max)
  }

  scale(ms: number): number {
    return ms * (this.#score + 1)
  }

  #add(delta: number): void {
    this.#score = Math.min(this.#max, Math.max(0, this.#score + delta))
  }
}
