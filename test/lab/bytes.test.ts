/** Streams that both ends can compute. */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { StreamVerifier, streamBytes } from '../../lab/bytes.ts'

const seeds = fc.integer({ min: 0, max: 0xffff_ffff })

test('any slice equals that slice of the whole', () => {
  fc.assert(
    fc.property(seeds, fc.nat(5_000), fc.nat(5_000), (seed, offset, length) => {
      const whole = streamBytes(seed, 0, offset + length)
      expect(streamBytes(seed, offset, length).equals(whole.subarray(offset))).toBe(true)
    }),
    { seed: 1 },
  )
})

test('the first bytes of seed 1 stay what they are', () => {
  expect(streamBytes(1, 0, 12).toString('hex')).toBe('eb02fd11d93d4ba65d27327e')
})

test('the verifier accepts a stream in any pieces and sees any flipped bit', () => {
  fc.assert(
    fc.property(seeds, fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1 }), fc.nat(), (seed, sizes, where) => {
      const total = sizes.reduce((sum, size) => sum + size, 0)
      const stream = Buffer.from(streamBytes(seed, 0, total))
      expect(acceptAll(seed, stream, sizes)).toBe(true)
      const bit = where % (total * 8)
      stream[bit >> 3]! ^= 1 << (bit & 7)
      expect(acceptAll(seed, stream, sizes)).toBe(false)
    }),
    { seed: 1 },
  )
})

function acceptAll(seed: number, stream: Buffer, sizes: readonly number[]): boolean {
  const verifier = new StreamVerifier(seed)
  let offset = 0
  return sizes.every((size) => verifier.accept(stream.subarray(offset, (offset += size))))
}
