/**
 * IP encapsulation within IP (RFC 2003) with the ECN rules of RFC 6040.
 *
 *   before            [ inner IP header | payload ]
 *   after  [ outer IP | inner IP header | payload ]   outer: own node address → member's, protocol 4
 */
import { put16, put32, u16 } from './bytes.ts'
import { adjustChecksum, setIpv4Checksum } from './checksum.ts'
import { PROTOCOL_IPIP } from './ipv4-view.ts'

export const OUTER_HEADER_BYTES = 20
/** RFC 2003, 3.1: TTL of the outer header is a configuration of the tunnel, not copied. */
const OUTER_TTL = 64
const ECN_MASK = 3
const ECN_CE = 3
const ECN_NOT_ECT = 0

/**
 * Writes an outer header in front of the inner packet. TOS is copied (DSCP: uniform model; ECN: RFC 6040 normal
 * mode), DF is copied (RFC 2003, 3.1).
 * @param at where the outer header starts; the inner packet follows 20 bytes behind
 * @param innerBytes total length of the inner packet, at most 65,515
 */
export function writeOuterHeader(
  bytes: Uint8Array,
  at: number,
  innerBytes: number,
  tos: number,
  dontFragment: boolean,
  id: number,
  source: number,
  destination: number,
): void {
  bytes[at] = 0x45
  bytes[at + 1] = tos
  put16(bytes, at + 2, innerBytes + OUTER_HEADER_BYTES)
  put16(bytes, at + 4, id)
  put16(bytes, at + 6, dontFragment ? 0x4000 : 0)
  bytes[at + 8] = OUTER_TTL
  bytes[at + 9] = PROTOCOL_IPIP
  put32(bytes, at + 12, source)
  put32(bytes, at + 16, destination)
  setIpv4Checksum(bytes, at, OUTER_HEADER_BYTES)
}

/**
 * Carries congestion from the outer to the inner header (RFC 6040, figure 4): CE outside becomes CE inside where the
 * inner packet is ECN-capable.
 * @returns false when the packet must be dropped (CE outside, not ECN-capable inside)
 */
export function propagateEcn(bytes: Uint8Array, outerTos: number, innerOffset: number): boolean {
  const outer = outerTos & ECN_MASK
  const innerTos = bytes[innerOffset + 1]!
  const inner = innerTos & ECN_MASK
  if (outer !== ECN_CE || inner === ECN_CE) return true
  if (inner === ECN_NOT_ECT) return false
  const before = u16(bytes, innerOffset)
  bytes[innerOffset + 1] = innerTos | ECN_CE
  put16(bytes, innerOffset + 10, adjustChecksum(u16(bytes, innerOffset + 10), before, u16(bytes, innerOffset)))
  return true
}
