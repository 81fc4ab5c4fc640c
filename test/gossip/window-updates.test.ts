import { describe, expect, it } from 'vitest'
import { HELD_BYTES_MAX, HELD_STREAMS_MAX, holdWindowUpdates } from '../../gossip/window-updates.ts'

const [DATA, WINDOW_UPDATE, PING, GO_AWAY] = [0, 1, 2, 3]
const [NONE, SYN, FIN, RST] = [0, 1, 4, 8]

function frame(type: number, flags: number, stream: number, length: number): Uint8Array {
  const bytes = new Uint8Array(12)
  const view = new DataView(bytes.buffer)
  view.setUint8(1, type)
  view.setUint16(2, flags)
  view.setUint32(4, stream)
  view.setUint32(8, length)
  return bytes
}

/** What leaves of these, as [type, flags, stream, length]. */
function passing(frames: readonly Uint8Array[]): number[][] {
  const left: number[][] = []
  const below = {
    send: (data: Uint8Array): boolean => {
      const view = new DataView(data.buffer, data.byteOffset)
      left.push([view.getUint8(1), view.getUint16(2), view.getUint32(4), view.getUint32(8)])
      return false
    },
  }
  holdWindowUpdates(below)
  for (const bytes of frames) below.send(bytes)
  return left
}

describe('yamux window updates', () => {
  const many = Array.from({ length: HELD_STREAMS_MAX + 1 }, (_, i) => frame(WINDOW_UPDATE, NONE, 2 * i + 1, 50))
  const enough = frame(WINDOW_UPDATE, NONE, 1, HELD_BYTES_MAX - 100)
  const few = frame(WINDOW_UPDATE, NONE, 1, 100)
  it.each([
    { what: 'small ones are held back', frames: [few, few, few], left: [] },
    {
      what: 'their sum leaves at a quarter of a window',
      frames: [enough, few, few],
      left: [[1, 0, 1, HELD_BYTES_MAX]],
    },
    {
      what: 'and a new sum begins',
      frames: [enough, few, enough, few],
      left: [
        [1, 0, 1, HELD_BYTES_MAX],
        [1, 0, 1, HELD_BYTES_MAX],
      ],
    },
    { what: 'each stream has its own sum', frames: [enough, frame(WINDOW_UPDATE, NONE, 3, 100)], left: [] },
    {
      what: 'opening and answering a stream wait for nothing',
      frames: [frame(WINDOW_UPDATE, SYN, 1, 0), frame(WINDOW_UPDATE, 2, 2, 0)],
      left: [
        [1, 1, 1, 0],
        [1, 2, 2, 0],
      ],
    },
    {
      what: 'the end of a stream takes its sum along',
      frames: [enough, frame(WINDOW_UPDATE, FIN, 1, 0), few, frame(WINDOW_UPDATE, RST, 1, 0)],
      left: [
        [1, 4, 1, 0],
        [1, 8, 1, 0],
      ],
    },
    {
      what: 'other frames pass as they are',
      frames: [frame(PING, SYN, 0, 7), frame(GO_AWAY, NONE, 0, 0), frame(DATA, NONE, 1, 0)],
      left: [
        [2, 1, 0, 7],
        [3, 0, 0, 0],
        [0, 0, 1, 0],
      ],
    },
    { what: 'those of one stream too many pass at once', frames: many, left: [[1, 0, 2 * HELD_STREAMS_MAX + 1, 50]] },
  ])('$what', ({ frames, left }) => {
    expect(passing(frames)).toEqual(left)
  })

  it('a sender is never left without a window, however its data is cut', () => {
    let seed = 1
    const random = (): number => (seed = (seed * 48_271) % 0x7fffffff) / 0x7fffffff
    let window = 256 * 1_024
    let least = window
    const below = {
      send: (data: Uint8Array): boolean => {
        window += new DataView(data.buffer, data.byteOffset).getUint32(8)
        return true
      },
    }
    holdWindowUpdates(below)
    for (let i = 0; i < 10_000; i++) {
      const bytes = Math.ceil(random() * 65_535)
      window -= bytes
      below.send(frame(WINDOW_UPDATE, NONE, 1, bytes))
      least = Math.min(least, window)
    }
    expect(least).toBeGreaterThan(192 * 1_024)
  })
})
