/**
 * Fewer window updates. Yamux gives a stream's sender back what the receiver has read, and the library does so after
 * every frame: 96 bytes on the wire, and an acknowledgement, for each message of some 60. Updates add up (yamux
 * specification, "Flow Control"), so they are held back here until they are worth a segment of their own.
 *
 *     header   version 1 byte = 0 │ type 1 byte │ flags 2 bytes │ stream 4 bytes │ length 4 bytes     big-endian
 *
 * What is held is less than a quarter of the smallest window there is, so the sender of a stream never waits for it.
 */
import type { MessageStream } from '@libp2p/interface'

/** Set by the specification. */
const HEADER_BYTES = 12
const TYPE_AT = 1
const FLAGS_AT = 2
const STREAM_AT = 4
const LENGTH_AT = 8
const TYPE_WINDOW_UPDATE = 1
/** FIN or RST: the stream takes, or says, no more. */
const ENDS = 4 | 8
const WINDOW_BYTES_MIN = 256 * 1024
/** An update leaves when a stream has this much to give back. */
export const HELD_BYTES_MAX = WINDOW_BYTES_MIN / 4
/** Streams of one connection whose updates are held; those of more leave at once. We use four. */
export const HELD_STREAMS_MAX = 16

/** What a muxer writes goes through this from now on. The muxer must write a frame in one call. */
export function holdWindowUpdates(below: Pick<MessageStream, 'send'>): void {
  const send = below.send.bind(below)
  const held = new Map<number, number>()
  below.send = (data) => {
    if (!(data instanceof Uint8Array) || data.length !== HEADER_BYTES || data[TYPE_AT] !== TYPE_WINDOW_UPDATE) {
      return send(data)
    }
    const header = new DataView(data.buffer, data.byteOffset, HEADER_BYTES)
    const stream = header.getUint32(STREAM_AT)
    const flags = header.getUint16(FLAGS_AT)
    if (flags !== 0) {
      if ((flags & ENDS) !== 0) held.delete(stream)
      return send(data)
    }
    const before = held.get(stream)
    if (before === undefined && held.size >= HELD_STREAMS_MAX) return send(data)
    const bytes = (before ?? 0) + header.getUint32(LENGTH_AT)
    if (bytes < HELD_BYTES_MAX) {
      held.set(stream, bytes)
      return true
    }
    held.set(stream, 0)
    const update = data.slice()
    new DataView(update.buffer).setUint32(LENGTH_AT, bytes)
    return send(update)
  }
}
