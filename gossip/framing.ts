/**
 * Streams keep no message boundaries, so every message is preceded by its length: 4 bytes, big endian. A length beyond
 * the bound is refused before a byte of the body is stored.
 */

const HEADER_BYTES = 4

export function encodeFrame(body: Uint8Array): Uint8Array {
  const frame = new Uint8Array(HEADER_BYTES + body.length)
  new DataView(frame.buffer).setUint32(0, body.length)
  frame.set(body, HEADER_BYTES)
  return frame
}

/** One per stream and direction. */
export class FrameDecoder {
  readonly #bytesMax: number
  #buffer = new Uint8Array(0)

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** The frames completed by this chunk; undefined if the stream announces one that is too long: it must be aborted. */
  push(chunk: Uint8Array): Uint8Array[] | undefined {
    const data = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk])
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
    const frames: Uint8Array[] = []
    let offset = 0
    while (data.length - offset >= HEADER_BYTES) {
      const length = view.getUint32(offset)
      if (length > this.#bytesMax) return undefined
      if (data.length - offset - HEADER_BYTES < length) break
      frames.push(data.subarray(offset + HEADER_BYTES, offset + HEADER_BYTES + length))
      offset += HEADER_BYTES + length
    }
    // A copy: the chunk belongs to the stream below.
    this.#buffer = data.slice(offset)
    return frames
  }
}
