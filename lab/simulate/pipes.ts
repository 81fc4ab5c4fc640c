/**
 * One direction of one connection, in the two models. What goes in is a frame, the first sign of the connection
 * (`open`) or its orderly end (`fin`); what comes out, and when, is the model.
 *
 * Streams are TCP as gossip feels it. Nothing is lost or overtaken, but a lost segment waits for its retransmission,
 * which is sent after 200 ms, then after twice as long, and so on; all that follows waits with it. Where nothing comes
 * back either (no acknowledgement), the sender stops as well: a cut in one direction silences both. Fast retransmit is
 * left out: gossip's frames are so far apart that three duplicates rarely come in time.
 *
 * Datagrams are the other extreme: each frame on its own, delayed, lost, doubled or overtaken. That breaks the seam's
 * promise of order on purpose: the core has to bear it.
 */
import type { Lane } from '../../gossip/network.ts'
import type { Conditions } from './conditions.ts'
import type { Traffic } from './traffic.ts'
import type { VirtualClock } from './virtual-clock.ts'

export type Parcel = { type: 'open' } | { type: 'frame'; lane: Lane; frame: Uint8Array } | { type: 'fin' }

export interface Pipe {
  /** False: the lane is full. */
  send(parcel: Parcel): boolean
  /** Nothing that is still under way arrives any more. */
  discard(): void
  /** When a packet without data that is sent now arrives, ms: not before those ahead of it. */
  controlArrivalMs(): number
}

export interface PipeParts {
  clock: VirtualClock
  conditions: Conditions
  traffic: Traffic
  from: number
  to: number
  arrive: (parcel: Parcel) => void
}

/** RFC 6298 with Linux' minimum (TCP_RTO_MIN), and its ceiling (TCP_RTO_MAX). */
export const RETRANSMIT_MS = 200
const RETRANSMIT_MAX_MS = 120_000
/** Of one frame. At a loss of 1 this is for ever. */
const RETRANSMITS_MAX = 16
/** What a lane takes while the peer acknowledges nothing. */
const LANE_BYTES_MAX = 262_144

interface Waiting {
  parcel: Parcel
  readyMs: number
}

export class StreamPipe implements Pipe {
  readonly #parts: PipeParts
  #queue: Waiting[] = []
  readonly #queuedBytes: Record<Lane, number> = { probe: 0, bulk: 0 }
  #scheduled = false
  /** Retransmissions in a row of the segment at the head that found the way blocked. */
  #tries = 0
  #lastReadyMs = 0
  #lastOnWireMs = 0
  /** Since when the other direction brings no acknowledgements, as far as this side has noticed. */
  #unacknowledgedSinceMs = Infinity
  #discarded = false

  constructor(parts: PipeParts) {
    this.#parts = parts
  }

  send(parcel: Parcel): boolean {
    const { clock, conditions, traffic, from, to } = this.#parts
    if (parcel.type === 'frame') {
      if (this.#queuedBytes[parcel.lane] >= LANE_BYTES_MAX) return false
      this.#queuedBytes[parcel.lane] += parcel.frame.length
    }
    let readyMs = clock.now() + conditions.delayMs(from, to)
    this.#lastOnWireMs = Math.max(this.#lastOnWireMs, readyMs)
    const firstMs = RETRANSMIT_MS + conditions.farRoundTripMs(from, to)
    let losses = 0
    while (losses < RETRANSMITS_MAX && conditions.isLost(from, to)) readyMs += backoffMs(losses++, firstMs)
    if (parcel.type === 'frame') traffic.sent(from, parcel.frame.length, losses + 1)
    else traffic.control(from, to)
    this.#lastReadyMs = Math.max(this.#lastReadyMs, readyMs)
    this.#queue.push({ parcel, readyMs: this.#lastReadyMs })
    if (!this.#scheduled) this.#wake(this.#lastReadyMs)
    return true
  }

  discard(): void {
    this.#discarded = true
    this.#queue = []
  }

  controlArrivalMs(): number {
    const { clock, conditions, from, to } = this.#parts
    return Math.max(clock.now() + conditions.delayMs(from, to), this.#lastOnWireMs)
  }

  #wake(atMs: number): void {
    this.#scheduled = true
    this.#parts.clock.at(atMs, () => {
      this.#scheduled = false
      this.#advance()
    })
  }

  /** Delivers what is ready, unless the way is blocked: then the head is retransmitted, ever more seldom. */
  #advance(): void {
    const { clock, conditions, traffic, from, to, arrive } = this.#parts
    while (this.#queue.length > 0 && !this.#discarded) {
      const nowMs = clock.now()
      const { parcel, readyMs } = this.#queue[0]!
      if (readyMs > nowMs) return this.#wake(readyMs)
      if (conditions.isBlocked(from, to) || this.#isUnacknowledged(nowMs)) {
        return this.#wake(nowMs + backoffMs(this.#tries++, RETRANSMIT_MS + conditions.farRoundTripMs(from, to)))
      }
      this.#tries = 0
      this.#queue.shift()
      if (parcel.type === 'frame') {
        this.#queuedBytes[parcel.lane] -= parcel.frame.length
        traffic.received(from, to, parcel.frame.length)
      }
      arrive(parcel)
    }
  }

  /** What was sent in the first 200 ms of a blocked way back does arrive; then only retransmissions are sent. */
  #isUnacknowledged(nowMs: number): boolean {
    const { conditions, from, to } = this.#parts
    if (!conditions.isBlocked(to, from)) {
      this.#unacknowledgedSinceMs = Infinity
      return false
    }
    this.#unacknowledgedSinceMs = Math.min(this.#unacknowledgedSinceMs, nowMs)
    return nowMs - this.#unacknowledgedSinceMs >= RETRANSMIT_MS
  }
}

export class DatagramPipe implements Pipe {
  readonly #parts: PipeParts
  #discarded = false

  constructor(parts: PipeParts) {
    this.#parts = parts
  }

  send(parcel: Parcel): boolean {
    const { conditions, traffic, from, to } = this.#parts
    const copies = parcel.type === 'frame' && conditions.random() < conditions.weather.duplicates ? 2 : 1
    if (parcel.type === 'frame') traffic.sent(from, parcel.frame.length, copies)
    else traffic.control(from, to)
    for (let copy = 0; copy < copies; copy++) if (!conditions.isLost(from, to)) this.#carry(parcel)
    return true
  }

  discard(): void {
    this.#discarded = true
  }

  controlArrivalMs(): number {
    const { clock, conditions, from, to } = this.#parts
    return clock.now() + conditions.delayMs(from, to)
  }

  #carry(parcel: Parcel): void {
    const { clock, conditions, traffic, from, to, arrive } = this.#parts
    const { reordered, reorderMs } = conditions.weather
    const held = reordered > 0 && conditions.random() < reordered ? conditions.random() * reorderMs : 0
    clock.at(clock.now() + conditions.delayMs(from, to) + held, () => {
      if (this.#discarded || conditions.isBlocked(from, to)) return
      if (parcel.type === 'frame') traffic.received(from, to, parcel.frame.length)
      arrive(parcel)
    })
  }
}

/** The first one · 2^k, at most two minutes. */
function backoffMs(tries: number, firstMs: number): number {
  return Math.min(RETRANSMIT_MAX_MS, firstMs * 2 ** tries)
}
