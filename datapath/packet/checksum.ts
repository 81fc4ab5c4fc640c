/** The Internet checksum (RFC 1071) and the pseudo-header sums of TCP (RFC 9293, 3.1). */
import { put16, u16 } from './bytes.ts'

/**
 * Adds `length` bytes to a running sum of 16-bit words. The sum stays exact: 64 KB of 0xffff is below 2^31 + start.
 * @param sum what was added before, below 2^31
 */
export function addWords(sum: number, bytes: Uint8Array, offset: number, length: number): number {
  const even = offset + (length & ~1)
  let i = offset
  for (; i + 8 <= even; i += 8) {
    sum +=
      ((bytes[i]! << 8) | bytes[i + 1]!) +
      ((bytes[i + 2]! << 8) | bytes[i + 3]!) +
      ((bytes[i + 4]! << 8) | bytes[i + 5]!) +
      ((bytes[i + 6]! << 8) | bytes[i + 7]!)
  }
  for (; i < even; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!
  if (length & 1) sum += bytes[even]! << 8
  return sum
}

/** Folds a sum to 16 bits; its complement is the checksum. */
export function fold(sum: number): number {
  let folded = sum
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000)
  return folded
}

/** Sum of the pseudo-header of an IPv4 packet whose payload has `length` bytes. */
export function pseudoHeaderSum(bytes: Uint8Array, ipOffset: number, protocol: number, length: number): number {
  return (
    u16(bytes, ipOffset + 12) +
    u16(bytes, ipOffset + 14) +
    u16(bytes, ipOffset + 16) +
    u16(bytes, ipOffset + 18) +
    protocol +
    length
  )
}

/** Whether an IPv4 header's checksum is right. */
export function ipv4HeaderValid(bytes: Uint8Array, ipOffset: number, headerBytes: number): boolean {
  return fold(addWords(0, bytes, ipOffset, headerBytes)) === 0xffff
}

/** Computes and stores an IPv4 header's checksum. */
export function setIpv4Checksum(bytes: Uint8Array, ipOffset: number, headerBytes: number): void {
  put16(bytes, ipOffset + 10, 0)
  put16(bytes, ipOffset + 10, ~fold(addWords(0, bytes, ipOffset, headerBytes)) & 0xffff)
}

/** Whether the TCP or UDP checksum of a whole packet is right; a UDP checksum of 0 means none. */
export function transportValid(
  bytes: Uint8Array,
  ipOffset: number,
  headerBytes: number,
  protocol: number,
  length: number,
): boolean {
  const start = ipOffset + headerBytes
  if (protocol === 17 && u16(bytes, start + 6) === 0) return true
  return fold(addWords(pseudoHeaderSum(bytes, ipOffset, protocol, length), bytes, start, length)) === 0xffff
}

/**
 * Adjusts a checksum for one 16-bit word that changed, without touching the rest (RFC 1624, equation 3).
 * @returns the new checksum
 */
export function adjustChecksum(checksum: number, oldWord: number, newWord: number): number {
  return ~fold((~checksum & 0xffff) + (~oldWord & 0xffff) + newWord) & 0xffff
}

/** Decrements the TTL in place and keeps the header checksum right. The TTL must be above 0. */
export function decrementTtl(bytes: Uint8Array, ipOffset: number): void {
  const before = u16(bytes, ipOffset + 8)
  const after = before - 0x100
  put16(bytes, ipOffset + 8, after)
  put16(bytes, ipOffset + 10, adjustChecksum(u16(bytes, ipOffset + 10), before, after))
}
