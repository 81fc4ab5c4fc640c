/**
 * A parsed look at one IPv4 packet (RFC 791) and its TCP (RFC 9293) or UDP header. One object is filled again for
 * every packet, so that parsing allocates nothing.
 *
 * The bytes come from the network: every length is checked before it is used, and a packet that does not hold what it
 * claims yields a drop reason instead of a view.
 */
import { DROP } from '../counters.ts'
import { u16, u32 } from './bytes.ts'
import { ipv4HeaderValid } from './checksum.ts'

export const PROTOCOL_ICMP = 1
export const PROTOCOL_IPIP = 4
export const PROTOCOL_TCP = 6
export const PROTOCOL_UDP = 17

export const TCP_FIN = 0x01
export const TCP_SYN = 0x02
export const TCP_RST = 0x04
export const TCP_ACK = 0x10

const IPV4_HEADER_BYTES_MIN = 20
const TCP_HEADER_BYTES_MIN = 20
const UDP_HEADER_BYTES = 8

export class Ipv4View {
  /** Where the IP header starts in the buffer. */
  offset = 0
  headerBytes = 0
  /** IP total length: header and payload. Trailing bytes beyond it (Ethernet padding) are not ours. */
  totalBytes = 0
  tos = 0
  id = 0
  dontFragment = false
  moreFragments = false
  /** Offset of this fragment, bytes. */
  fragmentOffset = 0
  ttl = 0
  protocol = 0
  source = 0
  destination = 0
  /** Filled for TCP and UDP packets that are no later fragment; 0 otherwise. */
  sourcePort = 0
  destinationPort = 0
  /** TCP only. */
  sequence = 0
  acknowledgement = 0
  flags = 0
  tcpHeaderBytes = 0

  /**
   * Reads the packet at `offset`, of which `available` bytes are there.
   * @returns 0, or the counter index of the reason to drop it
   */
  parse(bytes: Uint8Array, offset: number, available: number): number {
    if (available < IPV4_HEADER_BYTES_MIN) return DROP['ip-truncated']
    const first = bytes[offset]!
    if (first >> 4 !== 4) return DROP['not-ipv4']
    const headerBytes = (first & 15) * 4
    if (headerBytes < IPV4_HEADER_BYTES_MIN || headerBytes > available) return DROP['ip-header-length']
    const totalBytes = u16(bytes, offset + 2)
    if (totalBytes < headerBytes || totalBytes > available) return DROP['ip-total-length']
    if (!ipv4HeaderValid(bytes, offset, headerBytes)) return DROP['ip-checksum']
    const fragment = u16(bytes, offset + 6)
    this.offset = offset
    this.headerBytes = headerBytes
    this.totalBytes = totalBytes
    this.tos = bytes[offset + 1]!
    this.id = u16(bytes, offset + 4)
    this.dontFragment = (fragment & 0x4000) !== 0
    this.moreFragments = (fragment & 0x2000) !== 0
    this.fragmentOffset = (fragment & 0x1fff) * 8
    this.ttl = bytes[offset + 8]!
    this.protocol = bytes[offset + 9]!
    this.source = u32(bytes, offset + 12)
    this.destination = u32(bytes, offset + 16)
    this.sourcePort = 0
    this.destinationPort = 0
    this.flags = 0
    this.tcpHeaderBytes = 0
    if (this.fragmentOffset > 0) {
      // A fragment that would overlay the TCP flags is an attack on filters (RFC 1858, section 4).
      return this.protocol === PROTOCOL_TCP && this.fragmentOffset < TCP_HEADER_BYTES_MIN ? DROP['fragment-overlap'] : 0
    }
    if (this.protocol === PROTOCOL_TCP) return this.#parseTcp(bytes, offset + headerBytes, totalBytes - headerBytes)
    if (this.protocol === PROTOCOL_UDP && totalBytes - headerBytes >= UDP_HEADER_BYTES) {
      this.sourcePort = u16(bytes, offset + headerBytes)
      this.destinationPort = u16(bytes, offset + headerBytes + 2)
    }
    return 0
  }

  #parseTcp(bytes: Uint8Array, at: number, available: number): number {
    if (available < TCP_HEADER_BYTES_MIN) return DROP['tcp-truncated']
    const tcpHeaderBytes = (bytes[at + 12]! >> 4) * 4
    if (tcpHeaderBytes < TCP_HEADER_BYTES_MIN || tcpHeaderBytes > available) return DROP['tcp-header-length']
    const flags = bytes[at + 13]!
    const kind = flags & (TCP_SYN | TCP_FIN | TCP_RST)
    // At most one of SYN, FIN, RST; anything else, and a segment without ACK that is neither SYN nor RST, is a probe
    // for holes and no implementation sends it.
    if ((kind & (kind - 1)) !== 0 || (flags & (TCP_SYN | TCP_RST | TCP_ACK)) === 0) return DROP['tcp-flags']
    this.sourcePort = u16(bytes, at)
    this.destinationPort = u16(bytes, at + 2)
    this.sequence = u32(bytes, at + 4)
    this.acknowledgement = u32(bytes, at + 8)
    this.flags = flags
    this.tcpHeaderBytes = tcpHeaderBytes
    return 0
  }

  /** Bytes behind the TCP header. */
  get tcpPayloadBytes(): number {
    return this.totalBytes - this.headerBytes - this.tcpHeaderBytes
  }
}
