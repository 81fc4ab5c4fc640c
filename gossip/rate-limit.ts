/**
 * How much is taken from one peer. What it sends beyond that is dropped unread, which costs it news and this node next to
 * nothing; who sends many times as much is shut out, because even to receive and drop that has its price. Pure: time
 * comes in.
 */
import { TokenBucket } from './token-bucket.ts'

/** One frame costs one token for each of these that it begins. */
const FRAME_UNIT_BYTES = 4_096
/** Seconds' worth of frames that a peer may send at once. */
const FRAME_BURST_S = 2
/** A peer that sends this many times what is taken from it is shut out for a while. */
const FLOOD_FACTOR = 10
const FLOOD_PAUSE_MS = 10_000
/** Peers shut out at one time; the oldest is let in again. */
const FLOODERS_MAX = 256

export class PeerRateLimit {
  readonly #taken: TokenBucket
  readonly #borne: TokenBucket

  constructor(framesPerSecondMax: number, nowMs: number) {
    const burst = FRAME_BURST_S * framesPerSecondMax
    this.#taken = new TokenBucket(framesPerSecondMax, burst, nowMs)
    this.#borne = new TokenBucket(FLOOD_FACTOR * framesPerSecondMax, FLOOD_FACTOR * burst, nowMs)
  }

  /** `limited`: not to be read. `flood`: its sender is to be shut out. */
  judge(bytes: number, nowMs: number): 'taken' | 'limited' | 'flood' {
    const cost = 1 + Math.floor(bytes / FRAME_UNIT_BYTES)
    if (!this.#borne.take(nowMs, cost)) return 'flood'
    return this.#taken.take(nowMs, cost) ? 'taken' : 'limited'
  }
}

/** Peers that flooded this node, and until when they stay out. */
export class Flooders {
  readonly #untilMs = new Map<string, number>()

  shutOut(id: string, nowMs: number): void {
    const oldest = this.#untilMs.size >= FLOODERS_MAX ? this.#untilMs.keys().next().value : undefined
    if (oldest !== undefined) this.#untilMs.delete(oldest)
    this.#untilMs.set(id, nowMs + FLOOD_PAUSE_MS)
  }

  isShutOut(id: string, nowMs: number): boolean {
    const untilMs = this.#untilMs.get(id)
    if (untilMs === undefined) return false
    if (nowMs < untilMs) return true
    this.#untilMs.delete(id)
    return false
  }
}
