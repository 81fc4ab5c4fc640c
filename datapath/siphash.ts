/**
 * SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): the one keyed hash of the cluster.
 *
 * The key comes from the cluster key, so clients cannot choose which host or which bucket their packets meet. 64-bit
 * words are kept as pairs of 32-bit integers, since BigInt would allocate for every packet.
 */

/** A 128-bit key as four 32-bit words, little-endian: k0 low, k0 high, k1 low, k1 high. */
export type SipKey = Int32Array

export function sipKey(bytes: Uint8Array): SipKey {
  if (bytes.length !== 16) throw new RangeError(`a SipHash key has 16 bytes, not ${bytes.length}`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16)
  return Int32Array.from([0, 4, 8, 12], (offset) => view.getInt32(offset, true))
}

// State v0 … v3, low and high halves. Module variables instead of an object: V8 keeps them in registers per round.
let v0l = 0
let v0h = 0
let v1l = 0
let v1h = 0
let v2l = 0
let v2h = 0
let v3l = 0
let v3h = 0

/** High half of the latest hash; the low half is the return value. */
let high = 0

function rounds(count: number): void {
  let a = v0l
  let A = v0h
  let b = v1l
  let B = v1h
  let c = v2l
  let C = v2h
  let d = v3l
  let D = v3h
  for (let i = 0; i < count; i++) {
    let t: number
    // Carry out of a 32-bit addition without doubles: (x & y) | ((x | y) & ~sum), top bit.
    // v0 += v1; v1 = rotl(v1, 13); v1 ^= v0; v0 = rotl(v0, 32)
    t = (a + b) | 0
    A = (A + B + (((a & b) | ((a | b) & ~t)) >>> 31)) | 0
    a = t
    t = (b << 13) | (B >>> 19)
    B = (B << 13) | (b >>> 19)
    b = t ^ a
    B ^= A
    t = a
    a = A
    A = t
    // v2 += v3; v3 = rotl(v3, 16); v3 ^= v2
    t = (c + d) | 0
    C = (C + D + (((c & d) | ((c | d) & ~t)) >>> 31)) | 0
    c = t
    t = (d << 16) | (D >>> 16)
    D = (D << 16) | (d >>> 16)
    d = t ^ c
    D ^= C
    // v0 += v3; v3 = rotl(v3, 21); v3 ^= v0
    t = (a + d) | 0
    A = (A + D + (((a & d) | ((a | d) & ~t)) >>> 31)) | 0
    a = t
    t = (d << 21) | (D >>> 11)
    D = (D << 21) | (d >>> 11)
    d = t ^ a
    D ^= A
    // v2 += v1; v1 = rotl(v1, 17); v1 ^= v2; v2 = rotl(v2, 32)
    t = (c + b) | 0
    C = (C + B + (((c & b) | ((c | b) & ~t)) >>> 31)) | 0
    c = t
    t = (b << 17) | (B >>> 15)
    B = (B << 17) | (b >>> 15)
    b = t ^ c
    B ^= C
    t = c
    c = C
    C = t
  }
  v0l = a
  v0h = A
  v1l = b
  v1h = B
  v2l = c
  v2h = C
  v3l = d
  v3h = D
}

function begin(key: SipKey): void {
  const k0l = key[0]!
  const k0h = key[1]!
  const k1l = key[2]!
  const k1h = key[3]!
  v0l = k0l ^ 0x70736575
  v0h = k0h ^ 0x736f6d65
  v1l = k1l ^ 0x6e646f6d
  v1h = k1h ^ 0x646f7261
  v2l = k0l ^ 0x6e657261
  v2h = k0h ^ 0x6c796765
  v3l = k1l ^ 0x79746573
  v3h = k1h ^ 0x74656462
}

function block(low: number, highWord: number): void {
  v3l ^= low
  v3h ^= highWord
  rounds(2)
  v0l ^= low
  v0h ^= highWord
}

function end(): number {
  v2l ^= 0xff
  rounds(4)
  high = v0h ^ v1h ^ v2h ^ v3h
  return v0l ^ v1l ^ v2l ^ v3l
}

/**
 * Hash of four 32-bit words as 16 little-endian bytes. Returns the low 32 bits as a signed integer.
 * @see sipHashHigh for the other half
 */
export function sipHash4(key: SipKey, w0: number, w1: number, w2: number, w3: number): number {
  begin(key)
  block(w0, w1)
  block(w2, w3)
  block(0, 16 << 24)
  return end()
}

/** High 32 bits of the hash computed last. */
export function sipHashHigh(): number {
  return high
}

/** Hash of any bytes. Returns the low 32 bits as a signed integer. */
export function sipHashBytes(key: SipKey, bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  begin(key)
  let offset = 0
  for (; offset + 8 <= bytes.length; offset += 8) block(view.getInt32(offset, true), view.getInt32(offset + 4, true))
  let low = 0
  let highWord = (bytes.length & 0xff) << 24
  for (let i = 0; offset + i < bytes.length; i++) {
    const byte = bytes[offset + i]!
    if (i < 4) low |= byte << (8 * i)
    else highWord |= byte << (8 * (i - 4))
  }
  block(low, highWord)
  return end()
}
