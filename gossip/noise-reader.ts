/**
 * Noise's reader takes messages from what has arrived until it finds no length any more, which it learns from an
 * exception: one for each arrival, and making it (its stack trace) takes some 6 % of an idle node's time. Here
 * it is told a length instead that nothing that short can hold, and waits all the same.
 *
 *     length   2 bytes, big-endian │ message                                     noise-libp2p, "Wire Format"
 *
 * The reader belongs to the library's inside: one that is not as described here is left alone.
 */

const LENGTH_BYTES = 2
const LENGTH_MAX = 0xffff

/** A connection that noise has made. False: it was left as it is. */
export function readWithoutThrowing(connection: object): boolean {
  const decoder: unknown = (connection as { decoder?: unknown }).decoder
  if (typeof decoder !== 'object' || decoder === null || !('lengthDecoder' in decoder)) return false
  const { lengthDecoder } = decoder
  if (typeof lengthDecoder !== 'function') return false
  decoder.lengthDecoder = (data: { byteLength: number }): unknown =>
    data.byteLength < LENGTH_BYTES ? LENGTH_MAX : Reflect.apply(lengthDecoder, undefined, [data])
  return true
}
