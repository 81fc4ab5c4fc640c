/**
 * The latest load report of every member, as numbers. What is looked up member by member is a row, half a cache line,
 * found by short id through a table of open addressing; what is asked of all members at once, for every message (how
 * old, whether to be told), stands in columns of its own. Hundreds of reports come in every message; as objects on the
 * heap they took ten times as long, nearly all of it waiting for memory.
 *
 *     row, 32 bytes   key f64 │ version f64 │ load u32 │ life u8 │ kind u8 │ unused
 *     columns         sampledAtMs f64 │ flags u8 │ known u8
 */

import type { ReportBatch } from './reports.ts'

/** A row in numbers of 8, 4 and 1 bytes; and where in it they are. */
const ROW_F64 = 4
const ROW_U32 = 8
const ROW_BYTES = 32
const KEY = 0
const VERSION = 1
const LOAD_UNITS = 4
const LIFE = 20
const KIND = 21

/** Flags: to be told to others; there is a report of this life. Told are those that have both. */
const WANTED = 1
const REPORTED = 2
export const TOLD = WANTED | REPORTED

const ROWS_MIN = 32

export class ReportTable {
  #capacity = 0
  #numbers!: Float64Array
  #words!: Uint32Array
  #bytes!: Uint8Array
  #sampledAtMs!: Float64Array
  #flags!: Uint8Array
  #known!: Uint8Array
  /** Row + 1, 0 is empty. At most half full. */
  #index!: Int32Array
  /** What belongs to a report and is no number; few have any. */
  readonly #tails = new Map<number, Uint8Array>()
  #length = 0

  constructor() {
    this.#reserve(ROWS_MIN)
  }

  get length(): number {
    return this.#length
  }

  /** By row, valid until the next `append`: for whoever goes through all of them. */
  get sampledAtColumn(): Float64Array {
    return this.#sampledAtMs
  }

  /** By row: `TOLD` if there is something to tell. */
  get flagsColumn(): Uint8Array {
    return this.#flags
  }

  /** By row: 1 if the last block showed its sender to know as much. */
  get knownColumn(): Uint8Array {
    return this.#known
  }

  /** A new last row. */
  append(key: number, incarnation: number, nowMs: number): void {
    const row = this.#length++
    if (row === this.#capacity) this.#reserve(2 * this.#capacity)
    this.#bytes.fill(0, row * ROW_BYTES, (row + 1) * ROW_BYTES)
    this.#numbers[row * ROW_F64 + KEY] = key
    this.#bytes[row * ROW_BYTES + LIFE] = incarnation % 256
    this.#sampledAtMs[row] = nowMs
    this.#flags[row] = 0
    this.#known[row] = 0
    this.#put(row)
  }

  /** The last row takes the place of this one. */
  remove(row: number): void {
    const last = --this.#length
    this.#bytes.copyWithin(row * ROW_BYTES, last * ROW_BYTES, (last + 1) * ROW_BYTES)
    this.#sampledAtMs[row] = this.#sampledAtMs[last]!
    this.#flags[row] = this.#flags[last]!
    this.#known[row] = this.#known[last]!
    const tail = this.#tails.get(last)
    this.#tails.delete(last)
    this.setTail(row, row === last ? undefined : tail)
    this.#reindex()
  }

  /** -1: there is none. */
  find(key: number): number {
    const index = this.#index
    const mask = index.length - 1
    for (let at = scatter(key) & mask; ; at = (at + 1) & mask) {
      const row = index[at]! - 1
      if (row < 0 || this.#numbers[row * ROW_F64 + KEY] === key) return row
    }
  }

  /**
   * The row of each key, -1 if there is none. In three short loops instead of one long one, so that the processor waits
   * for the lines of many keys at a time, not for one after the other.
   */
  findAll(keys: Float64Array, rows: Int32Array, count: number): void {
    const index = this.#index
    const numbers = this.#numbers
    const mask = index.length - 1
    for (let i = 0; i < count; i++) rows[i] = index[scatter(keys[i]!) & mask]! - 1
    let missed = 0
    for (let i = 0; i < count; i++) {
      const row = rows[i]!
      if (row >= 0 && numbers[row * ROW_F64 + KEY] !== keys[i]) {
        rows[i] = -2
        missed++
      }
    }
    for (let i = 0; missed > 0; i++) {
      if (rows[i] !== -2) continue
      rows[i] = this.find(keys[i]!)
      missed--
    }
  }

  /** Copies these rows into the batch, for the same reason in a short loop. */
  gather(rows: Int32Array, count: number, nowMs: number, batch: ReportBatch): void {
    const numbers = this.#numbers
    const words = this.#words
    const bytes = this.#bytes
    for (let i = 0; i < count; i++) {
      const row = rows[i]!
      batch.keys[i] = numbers[row * ROW_F64 + KEY]!
      batch.versions[i] = numbers[row * ROW_F64 + VERSION]!
      batch.agesMs[i] = nowMs - this.#sampledAtMs[row]!
      batch.loadUnits[i] = words[row * ROW_U32 + LOAD_UNITS]!
      batch.lives[i] = bytes[row * ROW_BYTES + LIFE]!
      batch.kinds[i] = bytes[row * ROW_BYTES + KIND]!
    }
  }

  /** In another life versions begin anew. */
  beginLife(row: number, incarnation: number): void {
    const at = row * ROW_BYTES + LIFE
    if (this.#bytes[at] === incarnation % 256) return
    this.#bytes[at] = incarnation % 256
    this.setVersion(row, 0)
  }

  set(row: number, version: number, loadUnits: number, kind: number, sampledAtMs: number): void {
    this.#words[row * ROW_U32 + LOAD_UNITS] = loadUnits
    this.#bytes[row * ROW_BYTES + KIND] = kind
    this.#sampledAtMs[row] = sampledAtMs
    this.setVersion(row, version)
  }

  setVersion(row: number, version: number): void {
    this.#numbers[row * ROW_F64 + VERSION] = version
    if (version > 0) this.#flags[row]! |= REPORTED
    else this.#flags[row]! &= ~REPORTED
  }

  setTail(row: number, tail: Uint8Array | undefined): void {
    if (tail !== undefined) this.#tails.set(row, tail)
    else if (this.#tails.size > 0) this.#tails.delete(row)
  }

  setTold(row: number, told: boolean): void {
    if (told) this.#flags[row]! |= WANTED
    else this.#flags[row]! &= ~WANTED
  }

  /** A new block is read: nothing is known to its sender yet. */
  beginBlock(): void {
    this.#known.fill(0, 0, this.#length)
  }

  setKnown(row: number): void {
    this.#known[row] = 1
  }

  key(row: number): number {
    return this.#numbers[row * ROW_F64 + KEY]!
  }

  life(row: number): number {
    return this.#bytes[row * ROW_BYTES + LIFE]!
  }

  version(row: number): number {
    return this.#numbers[row * ROW_F64 + VERSION]!
  }

  sampledAtMs(row: number): number {
    return this.#sampledAtMs[row]!
  }

  loadUnits(row: number): number {
    return this.#words[row * ROW_U32 + LOAD_UNITS]!
  }

  kind(row: number): number {
    return this.#bytes[row * ROW_BYTES + KIND]!
  }

  tail(row: number): Uint8Array | undefined {
    return this.#tails.size > 0 ? this.#tails.get(row) : undefined
  }

  #reserve(rows: number): void {
    const [bytes, sampledAtMs, flags, known] = [this.#bytes, this.#sampledAtMs, this.#flags, this.#known]
    const block = new ArrayBuffer(rows * ROW_BYTES)
    this.#capacity = rows
    this.#numbers = new Float64Array(block)
    this.#words = new Uint32Array(block)
    this.#bytes = new Uint8Array(block)
    this.#sampledAtMs = new Float64Array(rows)
    this.#flags = new Uint8Array(rows)
    this.#known = new Uint8Array(rows)
    this.#index = new Int32Array(2 * rows)
    if (bytes === undefined) return
    this.#bytes.set(bytes)
    this.#sampledAtMs.set(sampledAtMs)
    this.#flags.set(flags)
    this.#known.set(known)
    for (let row = 0; row < this.#length - 1; row++) this.#put(row)
  }

  #reindex(): void {
    this.#index.fill(0)
    for (let row = 0; row < this.#length; row++) this.#put(row)
  }

  #put(row: number): void {
    const mask = this.#index.length - 1
    let at = scatter(this.key(row)) & mask
    while (this.#index[at] !== 0) at = (at + 1) & mask
    this.#index[at] = row + 1
  }
}

/** The lower bits of a short id are its last digits: nearly random, yet anybody may choose them. */
function scatter(key: number): number {
  const hash = Math.imul(key | 0, 0x9e3779b1)
  return hash ^ (hash >>> 15)
}
