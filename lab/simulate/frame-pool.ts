/**
 * Buffers for frames under way, used again and again. Ten thousand frames a second, each in a buffer of its own outside
 * the heap, would have the collector go through the whole heap every few seconds, and that of a large cluster is
 * a gigabyte. Who forgets to give one back (a daemon that was killed before it read it) leaves it to the collector.
 */

/** Sizes are powers of two, from 2^8 on. */
const LEAST_BITS = 8
const CLASSES = 16
/** Free buffers kept of each size. */
const FREE_MAX = 4_096

export class FramePool {
  readonly #free: Uint8Array[][] = Array.from({ length: CLASSES }, () => [])

  /** A copy of the frame, to be given back. */
  copyOf(frame: Uint8Array): Uint8Array {
    const place = classOf(frame.length)
    const whole = this.#free[place]?.pop() ?? new Uint8Array(2 ** (place + LEAST_BITS))
    const copy = whole.subarray(0, frame.length)
    copy.set(frame)
    return copy
  }

  /** Nobody may look at it from now on. */
  giveBack(copy: Uint8Array): void {
    const free = this.#free[classOf(copy.length)]
    if (free !== undefined && free.length < FREE_MAX) free.push(new Uint8Array(copy.buffer))
  }
}

function classOf(bytes: number): number {
  return Math.max(0, 32 - Math.clz32(Math.max(0, bytes - 1)) - LEAST_BITS)
}
