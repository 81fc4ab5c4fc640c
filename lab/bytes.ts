/**
 * Byte streams that both ends can compute: the value at any offset follows from the seed alone, so a receiver verifies
 * every byte without having seen the sender's, and a stream may start anywhere.
 */

/** Bytes of one step of the generator. */
const WORD_BYTES = 4

/**
 * The bytes [offset, offset + length) of the stream that belongs to a seed. Words are the finaliser of MurmurHash3
 * (fmix32) of a counter that each seed starts somewhere else (Knuth's multiplicative hash), so that streams of mixed-up
 * connections differ from the first bytes on. Streams repeat after 2^34 bytes.
 */
export function streamBytes(seed: number, offset: number, length: number): Buffer {
  const first = Math.floor(offset / WORD_BYTES)
  const skip = offset - first * WORD_BYTES
  const words = Math.ceil((skip + length) / WORD_BYTES)
  const bytes = Buffer.allocUnsafe(words * WORD_BYTES)
  const base = Math.imul(seed, 0x9e3779b1)
  for (let i = 0; i < words; i++) {
    let h = (base + first + i) | 0
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
    bytes.writeInt32LE((h ^ (h >>> 16)) | 0, i * WORD_BYTES)
  }
  return bytes.subarray(skip, skip + length)
}

/** Checks a stream as it arrives, chunk by chunk. */
export class StreamVerifier {
  readonly #seed: number
  /** Bytes that arrived and were right. */
  received = 0

  constructor(seed: number) {
    this.#seed = seed
  }

  /** false as soon as one byte differs; the verifier is of no use after that. */
  accept(chunk: Uint8Array): boolean {
    if (!streamBytes(this.#seed, this.received, chunk.length).equals(chunk)) return false
    this.received += chunk.length
    return true
  }
}
