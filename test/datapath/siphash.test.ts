import { describe, expect, it } from 'vitest'
import { sipHash4, sipHashBytes, sipHashHigh, sipKey } from '../../datapath/siphash.ts'

const KEY = sipKey(Uint8Array.from({ length: 16 }, (_, i) => i))

function hex(low: number): string {
  return ((BigInt(sipHashHigh() >>> 0) << 32n) | BigInt(low >>> 0)).toString(16).padStart(16, '0')
}

/** SipHash-2-4 with BigInt, written from the paper's section 2 without a thought of speed. */
function slowSipHash(key: Uint8Array, message: Uint8Array): string {
  const mask = (1n << 64n) - 1n
  const rotate = (x: bigint, n: bigint): bigint => ((x << n) | (x >> (64n - n))) & mask
  const word = (bytes: Uint8Array, at: number): bigint => {
    let value = 0n
    for (let i = 7; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i] ?? 0)
    return value
  }
  const k0 = word(key, 0)
  const k1 = word(key, 8)
  let v0 = k0 ^ 0x736f6d6570736575n
  let v1 = k1 ^ 0x646f72616e646f6dn
  let v2 = k0 ^ 0x6c7967656e657261n
  let v3 = k1 ^ 0x7465646279746573n
  const round = (): void => {
    v0 = (v0 + v1) & mask
    v1 = rotate(v1, 13n) ^ v0
    v0 = rotate(v0, 32n)
    v2 = (v2 + v3) & mask
    v3 = rotate(v3, 16n) ^ v2
    v0 = (v0 + v3) & mask
    v3 = rotate(v3, 21n) ^ v0
    v2 = (v2 + v1) & mask
    v1 = rotate(v1, 17n) ^ v2
    v2 = rotate(v2, 32n)
  }
  const padded = new Uint8Array(Math.ceil((message.length + 1) / 8) * 8)
  padded.set(message)
  padded[padded.length - 1] = message.length & 255
  for (let at = 0; at < padded.length; at += 8) {
    const m = word(padded, at)
    v3 ^= m
    round()
    round()
    v0 ^= m
  }
  v2 ^= 0xffn
  for (let i = 0; i < 4; i++) round()
  return (v0 ^ v1 ^ v2 ^ v3).toString(16).padStart(16, '0')
}

describe('SipHash-2-4', () => {
  it("gives the paper's test vector (appendix A)", () => {
    const message = Uint8Array.from({ length: 15 }, (_, i) => i)
    expect(hex(sipHashBytes(KEY, message))).toBe('a129ca6149be45e5')
  })

  it('agrees with the slow reference for every length up to 64', () => {
    for (let length = 0; length <= 64; length++) {
      const message = Uint8Array.from({ length }, (_, i) => (i * 37 + length) & 255)
      const key = Uint8Array.from({ length: 16 }, (_, i) => (i * 11 + length) & 255)
      expect(hex(sipHashBytes(sipKey(key), message)), `length ${length}`).toBe(slowSipHash(key, message))
    }
  })

  it('hashes four words as their 16 little-endian bytes', () => {
    const words = Uint32Array.from([0xdeadbeef, 1, 0x80000000, 0xffffffff])
    const low = sipHash4(KEY, words[0]!, words[1]!, words[2]!, words[3]!)
    const fast = hex(low)
    expect(fast).toBe(hex(sipHashBytes(KEY, new Uint8Array(words.buffer))))
  })

  it('refuses a key that has not 16 bytes', () => {
    expect(() => sipKey(new Uint8Array(15))).toThrow(/16 bytes/)
  })
})
