/**
 * Known addresses, who is said to be there, and when each may be dialled again. Pure: time and randomness come in.
 *
 *     delay after the n-th failure in a row = min(max, min · 2^(n−1)) ± 20 %
 */

/** `seed`: the operator named it; never dropped. `found`: discovered, nobody has been met there; the first to go. */
export type Origin = 'seed' | 'member' | 'found'

export interface DialEntry {
  /** `a.b.c.d:port` */
  readonly address: string
  origin: Origin
  /** Members that say they are there, or were met there. More than one only if somebody is wrong, or lies. */
  readonly ids: Set<string>
  failures: number
  /** Handshakes in a row that failed as with another cluster key. */
  keyFailures: number
  nextAtMs: number
}

/** Addresses kept. Beyond, one that matters less makes room. */
export const ADDRESSES_MAX = 2_048
/** Ids kept with one address; the oldest makes room. */
export const IDS_PER_ADDRESS_MAX = 8

export class DialBook {
  readonly #entries = new Map<string, DialEntry>()
  readonly #byId = new Map<string, DialEntry[]>()
  readonly #minMs: number
  readonly #maxMs: number
  readonly #random: () => number

  constructor(minMs: number, maxMs: number, random: () => number) {
    this.#minMs = minMs
    this.#maxMs = maxMs
    this.#random = random
  }

  /**
   * Notes an address, and who is there if that is known. A new one is first due at `nextAtMs`. `isNeeded` tells whom
   * not to evict for it. Returns the entry, and the one that had to go.
   */
  note(
    address: string,
    origin: Origin,
    id: string | undefined,
    nextAtMs: number,
    isNeeded: (id: string) => boolean = () => false,
  ): { entry: DialEntry; evicted: DialEntry | undefined } {
    let entry = this.#entries.get(address)
    let evicted: DialEntry | undefined
    if (entry === undefined) {
      if (this.#entries.size >= ADDRESSES_MAX) evicted = this.#evict(isNeeded)
      entry = { address, origin, ids: new Set(), failures: 0, keyFailures: 0, nextAtMs }
      this.#entries.set(address, entry)
    }
    if (origin === 'seed') entry.origin = 'seed'
    if (id !== undefined) this.#assign(entry, id)
    return { entry, evicted }
  }

  /** The member has left, or lives elsewhere now. An address that nobody is left at goes, unless it is a seed. */
  drop(address: string, id: string): DialEntry | undefined {
    const entry = this.#entries.get(address)
    if (entry === undefined || !entry.ids.has(id)) return undefined
    this.#unassign(entry, id)
    if (entry.ids.size === 0 && entry.origin !== 'seed') this.#entries.delete(address)
    return entry
  }

  /** Forgets the address, whoever is there. */
  remove(entry: DialEntry): void {
    for (const id of entry.ids) this.#unassign(entry, id)
    this.#entries.delete(entry.address)
  }

  has(entry: DialEntry): boolean {
    return this.#entries.get(entry.address) === entry
  }

  get(address: string): DialEntry | undefined {
    return this.#entries.get(address)
  }

  /** Where this member may be. */
  byId(id: string): readonly DialEntry[] {
    return this.#byId.get(id) ?? []
  }

  get size(): number {
    return this.#entries.size
  }

  /** A dial is wanted for a new reason: at once, unless this address keeps failing. */
  hurry(entry: DialEntry, nowMs: number): void {
    if (entry.failures <= 1) entry.nextAtMs = Math.min(entry.nextAtMs, nowMs)
  }

  failed(entry: DialEntry, nowMs: number): void {
    entry.failures++
    const delayMs = Math.min(this.#maxMs, this.#minMs * 2 ** Math.min(30, entry.failures - 1))
    entry.nextAtMs = nowMs + delayMs * (0.8 + 0.4 * this.#random())
  }

  /** Somebody was met there. Failures are forgiven only when the connection has proved lasting: see `lasted`. */
  met(entry: DialEntry, id: string): void {
    entry.keyFailures = 0
    if (entry.origin === 'found') entry.origin = 'member'
    this.#assign(entry, id)
  }

  lasted(entry: DialEntry, nowMs: number): void {
    entry.failures = 0
    entry.nextAtMs = Math.min(entry.nextAtMs, nowMs)
  }

  #assign(entry: DialEntry, id: string): void {
    if (entry.ids.has(id)) return
    const oldest = entry.ids.size >= IDS_PER_ADDRESS_MAX ? entry.ids.values().next().value : undefined
    if (oldest !== undefined) this.#unassign(entry, oldest)
    entry.ids.add(id)
    this.#byId.set(id, [...this.byId(id), entry])
  }

  #unassign(entry: DialEntry, id: string): void {
    entry.ids.delete(id)
    const rest = this.byId(id).filter((other) => other !== entry)
    if (rest.length > 0) this.#byId.set(id, rest)
    else this.#byId.delete(id)
  }

  #evict(isNeeded: (id: string) => boolean): DialEntry | undefined {
    let candidate: DialEntry | undefined
    for (const entry of this.#entries.values()) {
      if (entry.origin === 'seed' || [...entry.ids].some(isNeeded)) continue
      candidate ??= entry
      if (entry.origin !== 'found') continue
      candidate = entry
      break
    }
    candidate ??= [...this.#entries.values()].find((entry) => entry.origin !== 'seed')
    if (candidate !== undefined) this.remove(candidate)
    return candidate
  }
}
