/**
 * The flow table: which destination serves a client's 5-tuple. Open addressing in typed arrays with a fixed bound, so
 * a flood costs no memory, and nothing is allocated per packet.
 *
 *   index (power of two ≥ 2 × capacity)      entries (parallel typed arrays)      one queue per state
 *   [ 0 | 7 | 0 | 3 | … ] entry number + 1 → client, published, ports, state … ← oldest ⇄ … ⇄ newest
 *
 * Expiry is O(1): all entries of a state share one timeout, so each state is a queue ordered by the time of queueing.
 * A packet moves its entry to the tail only after a sixteenth of the timeout, which keeps the common packet cheap;
 * an entry is therefore never dropped early.
 *
 * A rewriter sees the client's side only. States and timeouts:
 *
 *            SYN                     ACK, data
 *   (none) ───────▶ young ──1 s──▶ half-open ───────▶ established ──FIN──▶ fin ──┐
 *                     └──────────ACK──────────────────▶    ▲  │              │   │ later data
 *                                                          │  └──RST──▶ rst ─┘   │
 *                                                          └─────────────────────┘
 */
import { sipHash4, type SipKey } from './siphash.ts'

export const FREE = 0
/** Half-open for less than a second: counts as active, so that a burst does not overrun the local limit. */
export const YOUNG = 1
export const HALF_OPEN = 2
export const ESTABLISHED = 3
export const FIN = 4
export const RST = 5
const STATES = 6

/** Idle timeouts by state, ms. Established is above the two hours after which TCP keep-alive probes start. */
export const FLOW_TIMEOUT_MS: Readonly<Record<number, number>> = Object.freeze({
  [YOUNG]: 1_000,
  [HALF_OPEN]: 60_000,
  [ESTABLISHED]: 2.25 * 3_600_000,
  [FIN]: 120_000,
  [RST]: 10_000,
})

/** Half-open entries take at most this share of the table. */
const HALF_OPEN_SHARE = 0.25
/** Entries looked at per call of `expire`: bounds the pause in the packet loop. */
const EXPIRE_BUDGET = 2_048
const NONE = -1

/** Destination of a flow that ends on this host. */
export const LOCAL = 0xffff

/** Told of every change that the counts of active flows depend on. */
export interface FlowListener {
  /** The entry moved between states; `FREE` on either side means created or removed. Its fields can still be read. */
  moved(entry: number, from: number, to: number): void
}

export class FlowTable {
  readonly capacity: number
  readonly client: Uint32Array
  readonly published: Uint32Array
  /** Client port in the upper half, published port in the lower. */
  readonly ports: Uint32Array
  readonly protocol: Uint8Array
  readonly state: Uint8Array
  readonly destination: Uint16Array
  readonly generation: Uint32Array
  /** Initial sequence number of the client: tells a retransmitted SYN from a reused port. */
  readonly initialSequence: Uint32Array
  /** What the client sends next, as far as seen: tells its FIN or RST from a blind one. */
  readonly nextSequence: Uint32Array
  entries = 0
  /** Half-open entries that gave way to newer ones. */
  evicted = 0

  readonly #hash: Int32Array
  readonly #touchedMs: Float64Array
  readonly #queuedMs: Float64Array
  readonly #next: Int32Array
  readonly #previous: Int32Array
  readonly #head = new Int32Array(STATES).fill(NONE)
  readonly #tail = new Int32Array(STATES).fill(NONE)
  readonly #count = new Int32Array(STATES)
  readonly #index: Int32Array
  readonly #mask: number
  readonly #key: SipKey
  readonly #listener: FlowListener
  readonly #halfOpenMax: number
  #free = 0

  /** @param capacity most entries, 16 to 2^24 */
  constructor(capacity: number, key: SipKey, listener: FlowListener) {
    if (!Number.isInteger(capacity) || capacity < 16 || capacity > 2 ** 24) {
      throw new RangeError(`flow table capacity ${capacity} is not within 16 to ${2 ** 24}`)
    }
    this.capacity = capacity
    this.client = new Uint32Array(capacity)
    this.published = new Uint32Array(capacity)
    this.ports = new Uint32Array(capacity)
    this.protocol = new Uint8Array(capacity)
    this.state = new Uint8Array(capacity)
    this.destination = new Uint16Array(capacity)
    this.generation = new Uint32Array(capacity)
    this.initialSequence = new Uint32Array(capacity)
    this.nextSequence = new Uint32Array(capacity)
    this.#hash = new Int32Array(capacity)
    this.#touchedMs = new Float64Array(capacity)
    this.#queuedMs = new Float64Array(capacity)
    // Free entries are chained through #next as "number of the next free entry, relative": 0 means the neighbour, so
    // that a table nobody has used yet consists of untouched, unbacked zero pages.
    this.#next = new Int32Array(capacity)
    this.#previous = new Int32Array(capacity)
    const slots = 2 ** Math.ceil(Math.log2(capacity * 2))
    this.#index = new Int32Array(slots)
    this.#mask = slots - 1
    this.#key = key
    this.#listener = listener
    this.#halfOpenMax = Math.max(1, Math.floor(capacity * HALF_OPEN_SHARE))
  }

  get full(): boolean {
    return this.#free >= this.capacity
  }

  count(state: number): number {
    return this.#count[state]!
  }

  hashOf(client: number, published: number, ports: number, protocol: number): number {
    return sipHash4(this.#key, client, published, ports, protocol)
  }

  /** The entry of a flow, or −1. */
  find(hash: number, client: number, published: number, ports: number, protocol: number): number {
    const index = this.#index
    const mask = this.#mask
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = index[slot]! - 1
      if (entry < 0) return NONE
      if (
        this.#hash[entry] === hash &&
        this.client[entry] === client &&
        this.published[entry] === published &&
        this.ports[entry] === ports &&
        this.protocol[entry] === protocol
      ) {
        return entry
      }
    }
  }

  /**
   * Adds a flow that is not in the table.
   * @returns its entry, or −1 when the table is full
   */
  insert(
    hash: number,
    client: number,
    published: number,
    ports: number,
    protocol: number,
    state: number,
    destination: number,
    generation: number,
    nowMs: number,
  ): number {
    if (state <= HALF_OPEN && this.#count[YOUNG]! + this.#count[HALF_OPEN]! >= this.#halfOpenMax) this.#evictHalfOpen()
    const entry = this.#free
    if (entry >= this.capacity) return NONE
    this.#free = entry + 1 + this.#next[entry]!
    this.client[entry] = client
    this.published[entry] = published
    this.ports[entry] = ports
    this.protocol[entry] = protocol
    this.destination[entry] = destination
    this.generation[entry] = generation
    this.#hash[entry] = hash
    this.#touchedMs[entry] = nowMs
    let slot = hash & this.#mask
    while (this.#index[slot] !== 0) slot = (slot + 1) & this.#mask
    this.#index[slot] = entry + 1
    this.entries++
    this.state[entry] = state
    this.#enqueue(entry, state, nowMs)
    this.#listener.moved(entry, FREE, state)
    return entry
  }

  remove(entry: number): void {
    const state = this.state[entry]!
    this.#dequeue(entry, state)
    this.#unindex(entry)
    this.state[entry] = FREE
    this.#next[entry] = this.#free - entry - 1
    this.#free = entry
    this.entries--
    this.#listener.moved(entry, state, FREE)
  }

  /** Moves an entry to a state, which also counts as a sign of life. */
  setState(entry: number, state: number, nowMs: number): void {
    const from = this.state[entry]!
    this.#touchedMs[entry] = nowMs
    this.#dequeue(entry, from)
    this.state[entry] = state
    this.#enqueue(entry, state, nowMs)
    if (from !== state) this.#listener.moved(entry, from, state)
  }

  /** A packet of the flow was seen. */
  touch(entry: number, nowMs: number): void {
    this.#touchedMs[entry] = nowMs
    const state = this.state[entry]!
    if (state !== YOUNG && nowMs - this.#queuedMs[entry]! > FLOW_TIMEOUT_MS[state]! / 16) {
      this.#dequeue(entry, state)
      this.#enqueue(entry, state, nowMs)
    }
  }

  /** Drops what is too old, within a budget. Call it at least every few milliseconds under load. */
  expire(nowMs: number): void {
    let budget = EXPIRE_BUDGET
    for (let state = YOUNG; state < STATES; state++) {
      const timeout = FLOW_TIMEOUT_MS[state]!
      for (; budget > 0; budget--) {
        const entry = this.#head[state]!
        if (entry === NONE || this.#queuedMs[entry]! + timeout > nowMs) break
        if (state === YOUNG) this.#grow(entry, nowMs)
        else if (this.#touchedMs[entry]! + timeout <= nowMs) this.remove(entry)
        else {
          this.#dequeue(entry, state)
          this.#enqueue(entry, state, nowMs)
        }
      }
    }
  }

  /** Entries in use, lowest number first; for export. */
  *used(): Generator<number> {
    let left = this.entries
    for (let entry = 0; left > 0 && entry < this.capacity; entry++) {
      if (this.state[entry] === FREE) continue
      left--
      yield entry
    }
  }

  /** A half-open flow that is no longer young keeps the time of its SYN. */
  #grow(entry: number, nowMs: number): void {
    this.#dequeue(entry, YOUNG)
    this.state[entry] = HALF_OPEN
    this.#enqueue(entry, HALF_OPEN, nowMs)
    this.#listener.moved(entry, YOUNG, HALF_OPEN)
  }

  #evictHalfOpen(): void {
    const oldest = this.#head[HALF_OPEN]! !== NONE ? this.#head[HALF_OPEN]! : this.#head[YOUNG]!
    if (oldest === NONE) return
    this.evicted++
    this.remove(oldest)
  }

  #enqueue(entry: number, state: number, nowMs: number): void {
    const tail = this.#tail[state]!
    this.#queuedMs[entry] = nowMs
    this.#next[entry] = NONE
    this.#previous[entry] = tail
    if (tail === NONE) this.#head[state] = entry
    else this.#next[tail] = entry
    this.#tail[state] = entry
    this.#count[state] = this.#count[state]! + 1
  }

  #dequeue(entry: number, state: number): void {
    const next = this.#next[entry]!
    const previous = this.#previous[entry]!
    if (previous === NONE) this.#head[state] = next
    else this.#next[previous] = next
    if (next === NONE) this.#tail[state] = previous
    else this.#previous[next] = previous
    this.#count[state] = this.#count[state]! - 1
  }

  /** Removes an entry from the index; later entries of the same run move back (Knuth 6.4, algorithm R). */
  #unindex(entry: number): void {
    const index = this.#index
    const mask = this.#mask
    let hole = this.#hash[entry]! & mask
    while (index[hole] !== entry + 1) hole = (hole + 1) & mask
    for (let slot = (hole + 1) & mask; ; slot = (slot + 1) & mask) {
      const other = index[slot]! - 1
      if (other < 0) break
      const ideal = this.#hash[other]! & mask
      // May `other` sit at the hole? Only if its ideal slot is not cyclically within (hole, slot].
      if (((slot - ideal) & mask) >= ((slot - hole) & mask)) {
        index[hole] = other + 1
        hole = slot
      }
    }
    index[hole] = 0
  }
}
