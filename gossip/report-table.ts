/**
 * The latest load report of every member, as numbers in one array: a row is one cache line, found by short id through a
 * table of open addressing. Hundreds of reports come in every message; as objects on the heap they took ten times as
 * long, nearly all of it waiting for memory.
 */

/** A row's numbers. */
const KEY = 0
const VERSION = 1
const SAMPLED_AT_MS = 2
const LOAD_UNITS = 3
/** Lowest 8 bits of the incarnation. */
const LIFE = 4
const KIND = 5
/** 1: to be told to others. */
const TOLD = 6
/** The last block that showed its sender to know as much. */
const KNOWN_TO_BLOCK = 7
const ROW = 8

const ROWS_MIN = 32

export class ReportTable {
  #rows = new Float64Array(ROWS_MIN * ROW)
  /** Row + 1, 0 is empty. At most half full. */
  #index = new Int32Array(ROWS_MIN * 2)
  /** What belongs to a report and is no number; few have any. */
  readonly #tails = new Map<number, Uint8Array>()
  #length = 0

  get length(): number {
    return this.#length
  }

  /** A new last row. */
  append(key: number, incarnation: number, nowMs: number): void {
    const row = this.#length++
    if (this.#length * ROW > this.#rows.length) this.#grow()
    this.#rows.fill(0, row * ROW, (row + 1) * ROW)
    this.#rows[row * ROW + KEY] = key
    this.#rows[row * ROW + SAMPLED_AT_MS] = nowMs
    this.beginLife(row, incarnation)
    this.#put(row)
  }

  /** The last row takes the place of this one. */
  remove(row: number): void {
    const last = --this.#length
    this.#rows.copyWithin(row * ROW, last * ROW, (last + 1) * ROW)
    const tail = this.#tails.get(last)
    this.#tails.delete(last)
    this.setTail(row, row === last ? undefined : tail)
    this.#reindex()
  }

  /** -1: there is none. */
  find(key: number): number {
    const mask = this.#index.length - 1
    for (let at = scatter(key) & mask; ; at = (at + 1) & mask) {
      const row = this.#index[at]! - 1
      if (row < 0 || this.#rows[row * ROW + KEY] === key) return row
    }
  }

  /** In another life versions begin anew. */
  beginLife(row: number, incarnation: number): void {
    const at = row * ROW
    if (this.#rows[at + LIFE] === incarnation % 256) return
    this.#rows[at + LIFE] = incarnation % 256
    this.#rows[at + VERSION] = 0
  }

  set(row: number, version: number, loadUnits: number, kind: number, sampledAtMs: number): void {
    const at = row * ROW
    this.#rows[at + VERSION] = version
    this.#rows[at + LOAD_UNITS] = loadUnits
    this.#rows[at + KIND] = kind
    this.#rows[at + SAMPLED_AT_MS] = sampledAtMs
  }

  setVersion(row: number, version: number): void {
    this.#rows[row * ROW + VERSION] = version
  }

  setTail(row: number, tail: Uint8Array | undefined): void {
    if (tail !== undefined) this.#tails.set(row, tail)
    else if (this.#tails.size > 0) this.#tails.delete(row)
  }

  setTold(row: number, told: boolean): void {
    this.#rows[row * ROW + TOLD] = told ? 1 : 0
  }

  setKnown(row: number, block: number): void {
    this.#rows[row * ROW + KNOWN_TO_BLOCK] = block
  }

  key(row: number): number {
    return this.#rows[row * ROW + KEY]!
  }

  life(row: number): number {
    return this.#rows[row * ROW + LIFE]!
  }

  version(row: number): number {
    return this.#rows[row * ROW + VERSION]!
  }

  sampledAtMs(row: number): number {
    return this.#rows[row * ROW + SAMPLED_AT_MS]!
  }

  loadUnits(row: number): number {
    return this.#rows[row * ROW + LOAD_UNITS]!
  }

  kind(row: number): number {
    return this.#rows[row * ROW + KIND]!
  }

  tail(row: number): Uint8Array | undefined {
    return this.#tails.size > 0 ? this.#tails.get(row) : undefined
  }

  /** Whether there is something to tell that this block did not know. */
  isTold(row: number, unlessBlock: number): boolean {
    const at = row * ROW
    return (
      this.#rows[at + TOLD] === 1 && this.#rows[at + KNOWN_TO_BLOCK] !== unlessBlock && this.#rows[at + VERSION]! > 0
    )
  }

  #grow(): void {
    const rows = new Float64Array(this.#rows.length * 2)
    rows.set(this.#rows)
    this.#rows = rows
    this.#index = new Int32Array(this.#index.length * 2)
    for (let row = 0; row < this.#length - 1; row++) this.#put(row)
  }

  #reindex(): void {
    this.#index.fill(0)
    for (let row = 0; row < this.#length; row++) this.#put(row)
  }

  #put(row: number): void {
    const mask = this.#index.length - 1
    let at = scatter(this.#rows[row * ROW + KEY]!) & mask
    while (this.#index[at] !== 0) at = (at + 1) & mask
    this.#index[at] = row + 1
  }
}

/** The lower bits of a short id are its last digits: nearly random, yet anybody may choose them. */
function scatter(key: number): number {
  const hash = Math.imul(key | 0, 0x9e3779b1)
  return hash ^ (hash >>> 15)
}
