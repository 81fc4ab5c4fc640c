/**
 * Which flow an ICMP error is about (RFC 792): the error quotes a packet that one of our servers sent, so its source is
 * the published address and its destination the client. The quote may hold no more than 8 bytes of TCP.
 */
import { u16, u32 } from './bytes.ts'
import { PROTOCOL_TCP, type Ipv4View } from './ipv4-view.ts'

const ICMP_HEADER_BYTES = 8
const IPV4_HEADER_BYTES_MIN = 20
/** Destination unreachable, source quench, time exceeded, parameter problem: the types that quote. */
const QUOTING_TYPES: ReadonlySet<number> = new Set([3, 4, 11, 12])

/** Filled again for every ICMP packet, so that reading allocates nothing. */
export class IcmpQuote {
  client = 0
  clientPort = 0
  publishedPort = 0

  /** @returns whether the packet is an error that quotes TCP from the address to which it was sent */
  read(bytes: Uint8Array, view: Ipv4View): boolean {
    const icmp = view.offset + view.headerBytes
    const quote = icmp + ICMP_HEADER_BYTES
    const end = view.offset + view.totalBytes
    if (quote + IPV4_HEADER_BYTES_MIN > end || !QUOTING_TYPES.has(bytes[icmp]!)) return false
    const headerBytes = (bytes[quote]! & 15) * 4
    const tcp = quote + headerBytes
    if (bytes[quote]! >> 4 !== 4 || headerBytes < IPV4_HEADER_BYTES_MIN || tcp + 8 > end) return false
    if (bytes[quote + 9] !== PROTOCOL_TCP || (u16(bytes, quote + 6) & 0x1fff) !== 0) return false
    if (u32(bytes, quote + 12) !== view.destination) return false
    this.client = u32(bytes, quote + 16)
    this.publishedPort = u16(bytes, tcp)
    this.clientPort = u16(bytes, tcp + 2)
    return true
  }
}
