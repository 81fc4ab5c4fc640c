/**
 * Whom to dial, and when: seeds and last-known members, for ever (two halves of a healed partition would otherwise
 * never find each other), with exponential backoff. Pure: time and randomness come in.
 *
 *     delay after the n-th failure in a row = min(max, min · 2^(n−1)) ± 20 %
 */

export interface DialEntry {
  /** `a.b.c.d:port` */
  readonly address: string
  /** The member last known to be there. */
  id: string | undefined
  readonly seed: boolean
  failures: number
  /** Handshakes in a row that failed as with another cluster key. */
  keyFailures: number
  nextAtMs: number
  dialling: boolean
}

/** Addresses kept. Beyond, the oldest that is no seed makes room. */
export const ADDRESSES_MAX = 2_048

export class DialBook {
  readonly #entries = new Map<string, DialEntry>()
  readonly #minMs: number
  readonly #maxMs: number
  readonly #random: () => number

  constructor(minMs: number, maxMs: number, random: () => number) {
    this.#minMs = minMs
    this.#maxMs = maxMs
    this.#random = random
  }

  /** Notes an address, and who is there if that is known. The first dial is due at `nextAtMs`. */
  note(address: string, id: string | undefined, seed: boolean, nextAtMs: number): void {
    const entry = this.#entries.get(address)
    if (entry !== undefined) {
      entry.id = id ?? entry.id
      return
    }
    if (this.#entries.size >= ADDRESSES_MAX) this.#evict()
    this.#entries.set(address, { address, id, seed, failures: 0, keyFailures: 0, nextAtMs, dialling: false })
  }

  /** The member has left, or lives elsewhere now. Seeds stay. */
  drop(address: string, id: string): void {
    const entry = this.#entries.get(address)
    if (entry === undefined || entry.id !== id) return
    if (entry.seed) entry.id = undefined
    else this.#entries.delete(address)
  }

  get(address: string): DialEntry | undefined {
    return this.#entries.get(address)
  }

  byId(id: string): DialEntry | undefined {
    for (const entry of this.#entries.values()) if (entry.id === id) return entry
    return undefined
  }

  /** Entries to dial now. `isConnected` answers for a member id. */
  due(nowMs: number, isConnected: (id: string) => boolean): DialEntry[] {
    return [...this.#entries.values()].filter(
      (e) => !e.dialling && nowMs >= e.nextAtMs && (e.id === undefined || !isConnected(e.id)),
    )
  }

  /** The connection broke, or a dial is wanted for another reason: at once, unless this address keeps failing. */
  hurry(entry: DialEntry, nowMs: number): void {
    if (entry.failures <= 1) entry.nextAtMs = nowMs
  }

  failed(entry: DialEntry, nowMs: number): void {
    entry.dialling = false
    entry.failures++
    const delay = Math.min(this.#maxMs, this.#minMs * 2 ** Math.min(30, entry.failures - 1))
    entry.nextAtMs = nowMs + delay * (0.8 + 0.4 * this.#random())
  }

  /** A connection is up. Failures are forgiven only when it has proved lasting: see `lasted`. */
  connected(entry: DialEntry, id: string): void {
    entry.dialling = false
    entry.keyFailures = 0
    entry.id = id
  }

  lasted(entry: DialEntry): void {
    entry.failures = 0
  }

  #evict(): void {
    for (const entry of this.#entries.values()) {
      if (entry.seed || entry.dialling) continue
      this.#entries.delete(entry.address)
      return
    }
  }
}
