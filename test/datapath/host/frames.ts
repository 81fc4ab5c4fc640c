/** Frames that read like what they are. Checksums of IPv4 headers are right, those of payloads are not looked at. */
import { CLIENT_ADDRESS, CLIENT_MAC, HOST_MAC } from './namespaces.ts'

export interface FrameSpec {
  mac?: string
  etherType?: number
  from?: string
  to: string
  protocol: number
  /** Flags and fragment offset, as on the wire. */
  fragment?: number
  payload: Buffer
}

export function frame({ mac = HOST_MAC, etherType = 0x0800, from = CLIENT_ADDRESS, to, ...ip }: FrameSpec): string {
  const header = Buffer.alloc(20)
  header.writeUInt8(0x45, 0)
  header.writeUInt16BE(20 + ip.payload.length, 2)
  header.writeUInt16BE(0x1234, 4)
  header.writeUInt16BE(ip.fragment ?? 0, 6)
  header.writeUInt8(64, 8)
  header.writeUInt8(ip.protocol, 9)
  Buffer.from([...from.split('.'), ...to.split('.')].map(Number)).copy(header, 12)
  header.writeUInt16BE(checksum(header), 10)
  const type = Buffer.alloc(2)
  type.writeUInt16BE(etherType)
  const macs = Buffer.from((mac + CLIENT_MAC).replaceAll(':', ''), 'hex')
  return Buffer.concat([macs, type, header, ip.payload]).toString('hex')
}

export const SYN = 0x02
export const ACK = 0x10

export function tcp(
  { sourcePort = 40_000, port = 80, flags = SYN, options = Buffer.alloc(0) },
  from: string,
  to: string,
) {
  const segment = Buffer.alloc(20 + options.length)
  segment.writeUInt16BE(sourcePort, 0)
  segment.writeUInt16BE(port, 2)
  segment.writeUInt32BE(1_000, 4)
  segment.writeUInt32BE(flags & ACK ? 2_000 : 0, 8)
  segment.writeUInt8(segment.length << 2, 12)
  segment.writeUInt8(flags, 13)
  segment.writeUInt16BE(65_535, 14)
  options.copy(segment, 20)
  const pseudo = Buffer.from([...from.split('.'), ...to.split('.'), 0, 6, 0, segment.length].map(Number))
  segment.writeUInt16BE(checksum(Buffer.concat([pseudo, segment])), 16)
  return segment
}

/** RFC 1071, for an even number of bytes. */
function checksum(bytes: Buffer): number {
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}
