/**
 * Load reports as bytes: a block of entries, one after the other, that is written from and read into member states
 * without an object in between, because a cluster of a thousand reads half a million a minute on every node. In MessagePack
 * the same would take twice the bytes and ten times the time.
 *
 *     key      6 bytes   the member, big-endian (messages.ts, ShortId)
 *     life     1 byte    its incarnation, lowest 8 bits: a report counts only for the life it was made in
 *     version  varint    of the report
 *     age      varint    of the sample when sent, in units of 4 ms
 *     load     varint    in units of 0.0001
 *     kind     1 byte    bits 0…3: source (0 none, 1 flows, 2 cpu, 3 psi, 4 server; 15: in the tail); bit 7: tail follows
 *     tail     1 byte length, then: [1 byte length, UTF-8 text of the source, if 15], anything a later version adds
 *
 * varint: 7 bits a byte, lowest first, bit 7 set on all but the last (LEB128). Kind and tail are relayed as they came.
 */
import { VERSION_MAX } from './checks.ts'
import type { ReportBlock } from './messages.ts'

export const LOAD_UNIT = 0.0001
const AGE_UNIT_MS = 4
/** Loads above this are told as this. */
const LOAD_MAX = 200_000
const LOAD_UNITS_MAX = LOAD_MAX / LOAD_UNIT
const AGE_UNITS_MAX = 2 ** 32
/** Bytes of what a later version may add to a report. */
const TAIL_MAX = 127
const SOURCE_CHARS_MAX = 32
const SOURCES = ['', 'flows', 'cpu', 'psi', 'server']
const SOURCE_IN_TAIL = 15
const SOURCE_MASK = 0x0f
const HAS_TAIL = 0x80
/** Bytes of the longest entry: key, life, three varints (7, 5 and 5), kind, tail. */
const ENTRY_BYTES_MAX = 6 + 1 + 17 + 1 + 1 + TAIL_MAX

const NO_TAIL = new Uint8Array(0)

export function loadUnits(load: number): number {
  return Number.isFinite(load) ? Math.round(Math.min(LOAD_MAX, Math.max(0, load)) / LOAD_UNIT) : 0
}

/** Kind and tail that name this source. Longer names are cut. */
export function sourceCode(source: string): { kind: number; tail: Uint8Array | undefined } {
  const code = SOURCES.indexOf(source)
  if (code >= 0) return { kind: code, tail: undefined }
  let text = new TextEncoder().encode(source.slice(0, SOURCE_CHARS_MAX))
  if (text.length >= TAIL_MAX) text = text.subarray(0, TAIL_MAX - 1)
  return { kind: HAS_TAIL | SOURCE_IN_TAIL, tail: Uint8Array.of(text.length, ...text) }
}

export function sourceName(kind: number, tail: Uint8Array = NO_TAIL): string {
  const code = kind & SOURCE_MASK
  if (code !== SOURCE_IN_TAIL) return SOURCES[code] ?? ''
  const text = new TextDecoder().decode(tail.subarray(1, 1 + (tail[0] ?? 0)))
  // Control characters would end up in logs and terminals.
  return text.replaceAll(/\p{Cc}/gu, '').slice(0, SOURCE_CHARS_MAX)
}

/** Entries that are read or written at a time. */
export const BATCH_MAX = 128

/** Entries of a block, by columns: a loop over many needs no object for each. */
export class ReportBatch {
  readonly keys = new Float64Array(BATCH_MAX)
  readonly versions = new Float64Array(BATCH_MAX)
  readonly agesMs = new Float64Array(BATCH_MAX)
  readonly loadUnits = new Uint32Array(BATCH_MAX)
  readonly lives = new Uint8Array(BATCH_MAX)
  readonly kinds = new Uint8Array(BATCH_MAX)
  /** Of what was read: where in the block its tail is; the same number twice: it has none. */
  readonly tailsAt = new Int32Array(BATCH_MAX)
  readonly tailsEnd = new Int32Array(BATCH_MAX)
}

/** Fills one block at a time. */
export class ReportWriter {
  readonly #bytes: Uint8Array
  readonly #bytesMax: number
  #end = 0
  #count = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
    this.#bytes = new Uint8Array(bytesMax + ENTRY_BYTES_MAX)
  }

  /** Entries in the block so far. */
  get count(): number {
    return this.#count
  }

  /** Takes one more entry of the batch, with this tail, if it fits; whether it did. */
  add(batch: ReportBatch, entry: number, tail: Uint8Array | undefined): boolean {
    const bytes = this.#bytes
    let at = this.#end
    const key = batch.keys[entry]!
    const high = Math.floor(key / 2 ** 32)
    bytes[at++] = high >>> 8
    bytes[at++] = high
    bytes[at++] = key >>> 24
    bytes[at++] = key >>> 16
    bytes[at++] = key >>> 8
    bytes[at++] = key
    bytes[at++] = batch.lives[entry]!
    at = putVarint(bytes, at, batch.versions[entry]!)
    const ageUnits = Math.round(batch.agesMs[entry]! / AGE_UNIT_MS)
    at = putVarint(bytes, at, Math.min(AGE_UNITS_MAX, Math.max(0, ageUnits)))
    at = putVarint(bytes, at, batch.loadUnits[entry]!)
    const kind = batch.kinds[entry]!
    bytes[at++] = kind
    if ((kind & HAS_TAIL) !== 0) {
      const text = tail ?? NO_TAIL
      bytes[at++] = text.length
      bytes.set(text, at)
      at += text.length
    }
    if (at > this.#bytesMax) return false
    this.#end = at
    this.#count++
    return true
  }

  /** The block so far; the next one begins empty. */
  take(): ReportBlock {
    const end = this.#end
    this.#end = 0
    this.#count = 0
    if (shelf.length - shelfUsed < end) {
      shelf = Buffer.allocUnsafeSlow(Math.max(SHELF_BYTES, end))
      shelfUsed = 0
    }
    const block = shelf.subarray(shelfUsed, shelfUsed + end)
    block.set(this.#bytes.subarray(0, end))
    shelfUsed += end
    return block
  }
}

/** Finished blocks lie side by side in buffers of this size: one for each block would cost more than what is written. */
const SHELF_BYTES = 65_536
let shelf = Buffer.alloc(0)
let shelfUsed = 0

function putVarint(bytes: Uint8Array, at: number, value: number): number {
  let rest = value
  // Above 31 bits the operators on integers do not reach.
  while (rest >= 2 ** 31) {
    bytes[at++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  while (rest >= 0x80) {
    bytes[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  bytes[at++] = rest
  return at
}

/** Goes through a block that others sent. One reader serves for all blocks of a node. */
export class ReportReader {
  /** Of the entry that `next` found. */
  key = 0
  life = 0
  version = 0
  ageMs = 0
  loadUnits = 0
  kind = 0
  /** The rest of the block was garbage. */
  malformed = false
  #block: ReportBlock = NO_TAIL
  #at = 0
  #tailAt = 0
  #tailEnd = 0

  open(block: ReportBlock): void {
    this.#block = block
    this.#at = 0
    this.malformed = false
  }

  /** Reads the next entry into the fields above; false at the end. */
  next(): boolean {
    const bytes = this.#block
    let at = this.#at
    if (at === bytes.length) return false
    if (bytes.length - at < ENTRY_BYTES_MIN) return this.#stop()
    const high = (bytes[at]! << 8) | bytes[at + 1]!
    const low = (bytes[at + 2]! << 24) | (bytes[at + 3]! << 16) | (bytes[at + 4]! << 8) | bytes[at + 5]!
    this.key = high * 2 ** 32 + (low >>> 0)
    this.life = bytes[at + 6]!
    this.#at = at + 7
    this.version = this.#varint()
    const ageUnits = this.#varint()
    this.loadUnits = this.#varint()
    at = this.#at
    if (!(this.version <= VERSION_MAX && ageUnits <= AGE_UNITS_MAX && this.loadUnits <= LOAD_UNITS_MAX))
      return this.#stop()
    if (at >= bytes.length) return this.#stop()
    this.ageMs = ageUnits * AGE_UNIT_MS
    this.kind = bytes[at++]!
    this.#tailAt = at
    this.#tailEnd = at
    if ((this.kind & HAS_TAIL) !== 0) {
      const length = bytes[at++] ?? TAIL_MAX + 1
      if (length > TAIL_MAX || at + length > bytes.length) return this.#stop()
      this.#tailAt = at
      at += length
      this.#tailEnd = at
    }
    this.#at = at
    return true
  }

  /** Reads the next entries into the batch; how many. 0 at the end. */
  read(batch: ReportBatch): number {
    let count = 0
    while (count < BATCH_MAX && this.next()) {
      batch.keys[count] = this.key
      batch.lives[count] = this.life
      batch.versions[count] = this.version
      batch.agesMs[count] = this.ageMs
      batch.loadUnits[count] = this.loadUnits
      batch.kinds[count] = this.kind
      batch.tailsAt[count] = this.#tailAt
      batch.tailsEnd[count] = this.#tailEnd
      count++
    }
    return count
  }

  /** A copy, because the block may be a window on a larger buffer. */
  tailOf(batch: ReportBatch, entry: number): Uint8Array | undefined {
    const [from, to] = [batch.tailsAt[entry]!, batch.tailsEnd[entry]!]
    return from === to ? undefined : this.#block.slice(from, to)
  }

  /** A copy, because the block may be a window on a larger buffer. */
  get tail(): Uint8Array | undefined {
    return this.#tailEnd === this.#tailAt ? undefined : this.#block.slice(this.#tailAt, this.#tailEnd)
  }

  #stop(): false {
    this.malformed = true
    this.#at = this.#block.length
    return false
  }

  /** NaN if the block ends within it, or it is longer than any number we use. */
  #varint(): number {
    const bytes = this.#block
    let value = 0
    let scale = 1
    for (let length = 0; length < VARINT_BYTES_MAX; length++) {
      const byte = bytes[this.#at++]
      if (byte === undefined) return Number.NaN
      if (byte < 0x80) return value + byte * scale
      value += (byte & 0x7f) * scale
      scale *= 128
    }
    return Number.NaN
  }
}

const ENTRY_BYTES_MIN = 6 + 1 + 3 + 1
const VARINT_BYTES_MAX = 7
