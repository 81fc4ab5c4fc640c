/** Buffers of frames: right bytes, and never one that somebody still holds. */
import { expect, test } from 'vitest'
import { FramePool } from '../../lab/simulate/frame-pool.ts'
import { randomStream } from '../../lab/simulate/random.ts'

test.each([0, 1, 255, 256, 257, 1_600, 65_536])('a copy of %d bytes is equal, and its own', (length) => {
  const frame = Uint8Array.from({ length }, (_, at) => at % 251)
  const copy = new FramePool().copyOf(frame)
  expect(Buffer.compare(copy, frame)).toBe(0)
  frame.fill(7)
  expect([...copy].every((byte, at) => byte === at % 251)).toBe(true)
})

test('what was given back is used again, whatever part of it the frame took', () => {
  const pool = new FramePool()
  const first = pool.copyOf(new Uint8Array(300))
  pool.giveBack(first)
  expect(pool.copyOf(new Uint8Array(512)).buffer).toBe(first.buffer)
})

test('frames of other sizes do not share a buffer', () => {
  const pool = new FramePool()
  const first = pool.copyOf(new Uint8Array(300))
  pool.giveBack(first)
  expect(pool.copyOf(new Uint8Array(513)).buffer).not.toBe(first.buffer)
  expect(pool.copyOf(new Uint8Array(256)).buffer).not.toBe(first.buffer)
})

test('no frame under way is ever overwritten, in any order of coming and going', () => {
  const random = randomStream(5, 'frames')
  const pool = new FramePool()
  const underWay: { mark: number; copy: Uint8Array }[] = []
  for (let mark = 0; mark < 2_000; mark++) {
    const copy = pool.copyOf(new Uint8Array(1 + Math.floor(random() * 2_000)).fill(mark))
    underWay.push({ mark, copy })
    if (random() < 0.5) continue
    const [gone] = underWay.splice(Math.floor(random() * underWay.length), 1)
    expect(gone!.copy.every((byte) => byte === gone!.mark % 256)).toBe(true)
    pool.giveBack(gone!.copy)
  }
  for (const { mark, copy } of underWay) expect(copy.every((byte) => byte === mark % 256)).toBe(true)
})
