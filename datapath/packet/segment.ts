/**
 * What must happen to a packet that does not fit a tunnel as it is: a super-packet is cut into TCP segments (the
 * kernel's own TSO, done by hand), a packet that may be fragmented is (RFC 791, 3.2), and a sender that forbade it is
 * told the right size (RFC 1191, section 4).
 */
import { put16, put32, u32 } from './bytes.ts'
import { addWords, fold, pseudoHeaderSum, setIpv4Checksum } from './checksum.ts'
import { PROTOCOL_ICMP, PROTOCOL_TCP, TCP_FIN, type Ipv4View } from './ipv4-view.ts'

const TCP_PSH = 0x08
const TCP_CWR = 0x80
const ICMP_HEADER_BYTES = 8
const IPV4_HEADER_BYTES = 20
/** RFC 1812, 4.3.2.3: quote as much as fits into 576 bytes. */
const ICMP_BYTES_MAX = 576
const ICMP_TTL = 64

/** Number of TCP segments of a super-packet. */
export function segmentCount(view: Ipv4View, gsoBytes: number): number {
  return Math.max(1, Math.ceil(view.tcpPayloadBytes / gsoBytes))
}

/**
 * Writes IP and TCP header of one segment; its payload stays where it is (`view.offset` + headers + index × gsoBytes).
 * Sequence grows by what went before, IP id by one each, FIN and PSH only stay on the last segment, CWR on the first.
 * @returns bytes of header written
 */
export function writeSegmentHeader(
  bytes: Uint8Array,
  view: Ipv4View,
  gsoBytes: number,
  index: number,
  out: Uint8Array,
  at: number,
): number {
  const headerBytes = view.headerBytes + view.tcpHeaderBytes
  const payloadStart = index * gsoBytes
  const payloadBytes = Math.min(gsoBytes, view.tcpPayloadBytes - payloadStart)
  const last = payloadStart + payloadBytes >= view.tcpPayloadBytes
  out.set(bytes.subarray(view.offset, view.offset + headerBytes), at)
  put16(out, at + 2, headerBytes + payloadBytes)
  put16(out, at + 4, (view.id + index) & 0xffff)
  setIpv4Checksum(out, at, view.headerBytes)
  const tcp = at + view.headerBytes
  put32(out, tcp + 4, (u32(bytes, view.offset + view.headerBytes + 4) + payloadStart) >>> 0)
  let flags = out[tcp + 13]!
  if (!last) flags &= ~(TCP_FIN | TCP_PSH)
  if (index > 0) flags &= ~TCP_CWR
  out[tcp + 13] = flags
  put16(out, tcp + 16, 0)
  const tcpBytes = view.tcpHeaderBytes + payloadBytes
  let sum = pseudoHeaderSum(out, at, PROTOCOL_TCP, tcpBytes)
  sum = addWords(sum, out, tcp, view.tcpHeaderBytes)
  sum = addWords(sum, bytes, view.offset + headerBytes + payloadStart, payloadBytes)
  put16(out, tcp + 16, ~fold(sum) & 0xffff)
  return headerBytes
}

/**
 * Completes a partial checksum in place: the field already holds the pseudo-header's sum.
 * @param start where the sum begins, `field` where it is stored; both counted from the start of `bytes`
 * @param end behind the packet's last byte
 */
export function completeChecksum(bytes: Uint8Array, start: number, field: number, end: number): void {
  const checksum = ~fold(addWords(0, bytes, start, end - start)) & 0xffff
  put16(bytes, field, checksum === 0 ? 0xffff : checksum)
}

/** Payload bytes per fragment: what fits, in units of 8 (RFC 791). */
export function fragmentPayloadBytes(view: Ipv4View, mtu: number): number {
  return (mtu - view.headerBytes) & ~7
}

/**
 * Writes the IP header of one fragment; its payload stays where it is. Options are repeated in every fragment, which
 * RFC 791 demands for those with the copied bit and allows receivers to ignore for the rest.
 * @returns bytes of header written
 */
export function writeFragmentHeader(
  bytes: Uint8Array,
  view: Ipv4View,
  payloadBytesMax: number,
  index: number,
  out: Uint8Array,
  at: number,
): number {
  const whole = view.totalBytes - view.headerBytes
  const start = index * payloadBytesMax
  const payloadBytes = Math.min(payloadBytesMax, whole - start)
  const more = start + payloadBytes < whole || view.moreFragments
  out.set(bytes.subarray(view.offset, view.offset + view.headerBytes), at)
  put16(out, at + 2, view.headerBytes + payloadBytes)
  put16(out, at + 6, ((view.fragmentOffset + start) >>> 3) | (more ? 0x2000 : 0))
  setIpv4Checksum(out, at, view.headerBytes)
  return view.headerBytes
}

/**
 * Writes ICMP "fragmentation needed and DF set" (type 3, code 4) to the packet's source, quoting the packet.
 * @param mtu the largest packet that would have passed, bytes
 * @param from address of this host
 * @returns length of the ICMP packet, IP header included
 */
export function writeFragmentationNeeded(
  bytes: Uint8Array,
  view: Ipv4View,
  mtu: number,
  from: number,
  out: Uint8Array,
  at: number,
): number {
  const quoted = Math.min(view.totalBytes, ICMP_BYTES_MAX - IPV4_HEADER_BYTES - ICMP_HEADER_BYTES)
  const total = IPV4_HEADER_BYTES + ICMP_HEADER_BYTES + quoted
  out.fill(0, at, at + IPV4_HEADER_BYTES + ICMP_HEADER_BYTES)
  out[at] = 0x45
  out[at + 1] = 0xc0 // precedence "internetwork control", RFC 1812, 4.3.2.5
  put16(out, at + 2, total)
  out[at + 8] = ICMP_TTL
  out[at + 9] = PROTOCOL_ICMP
  put32(out, at + 12, from)
  put32(out, at + 16, view.source)
  setIpv4Checksum(out, at, IPV4_HEADER_BYTES)
  const icmp = at + IPV4_HEADER_BYTES
  out[icmp] = 3
  out[icmp + 1] = 4
  put16(out, icmp + 6, mtu)
  out.set(bytes.subarray(view.offset, view.offset + quoted), icmp + ICMP_HEADER_BYTES)
  put16(out, icmp + 2, ~fold(addWords(0, out, icmp, ICMP_HEADER_BYTES + quoted)) & 0xffff)
  return total
}
