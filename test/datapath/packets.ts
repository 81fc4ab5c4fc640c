/** Builds packets for tests: readable fields in, right bytes out, every checksum valid unless a test breaks it. */
import { parseIpv4, put16, put32 } from '../../datapath/packet/bytes.ts'
import { fold, addWords, pseudoHeaderSum, setIpv4Checksum } from '../../datapath/packet/checksum.ts'

export interface IpFields {
  source?: string
  destination?: string
  protocol?: number
  ttl?: number
  tos?: number
  id?: number
  dontFragment?: boolean
  moreFragments?: boolean
  /** Bytes. */
  fragmentOffset?: number
  /** Padded to a multiple of 4 by the caller. */
  options?: Uint8Array
}

export interface TcpFields extends IpFields {
  sourcePort?: number
  destinationPort?: number
  sequence?: number
  acknowledgement?: number
  /** Letters of S, A, F, R, P. */
  flags?: string
  payload?: Uint8Array
  tcpOptions?: Uint8Array
}

const FLAGS: Record<string, number> = { F: 1, S: 2, R: 4, P: 8, A: 16, U: 32, E: 64, C: 128 }

export function ipPacket(fields: IpFields, payload: Uint8Array): Uint8Array {
  const options = fields.options ?? new Uint8Array(0)
  const headerBytes = 20 + options.length
  const out = new Uint8Array(headerBytes + payload.length)
  out[0] = 0x40 | (headerBytes / 4)
  out[1] = fields.tos ?? 0
  put16(out, 2, out.length)
  put16(out, 4, fields.id ?? 0x1234)
  const fragment = ((fields.dontFragment ?? true) ? 0x4000 : 0) | (fields.moreFragments === true ? 0x2000 : 0)
  put16(out, 6, fragment | ((fields.fragmentOffset ?? 0) >> 3))
  out[8] = fields.ttl ?? 64
  out[9] = fields.protocol ?? 6
  put32(out, 12, parseIpv4(fields.source ?? '10.9.0.9'))
  put32(out, 16, parseIpv4(fields.destination ?? '10.1.0.101'))
  out.set(options, 20)
  setIpv4Checksum(out, 0, headerBytes)
  out.set(payload, headerBytes)
  return out
}

export function tcpPacket(fields: TcpFields = {}): Uint8Array {
  const payload = fields.payload ?? new Uint8Array(0)
  const options = fields.tcpOptions ?? new Uint8Array(0)
  const segment = new Uint8Array(20 + options.length + payload.length)
  put16(segment, 0, fields.sourcePort ?? 40_000)
  put16(segment, 2, fields.destinationPort ?? 80)
  put32(segment, 4, fields.sequence ?? 1_000)
  put32(segment, 8, fields.acknowledgement ?? 0)
  segment[12] = (5 + options.length / 4) << 4
  segment[13] = (fields.flags ?? 'S').split('').reduce((bits, letter) => bits | FLAGS[letter]!, 0)
  put16(segment, 14, 64_240)
  segment.set(options, 20)
  segment.set(payload, 20 + options.length)
  const packet = ipPacket({ ...fields, protocol: 6 }, segment)
  fixTcpChecksum(packet)
  return packet
}

/** Recomputes the TCP checksum after a change. */
export function fixTcpChecksum(packet: Uint8Array): void {
  const headerBytes = (packet[0]! & 15) * 4
  const bytes = packet.length - headerBytes
  put16(packet, headerBytes + 16, 0)
  const sum = addWords(pseudoHeaderSum(packet, 0, 6, bytes), packet, headerBytes, bytes)
  put16(packet, headerBytes + 16, ~fold(sum) & 0xffff)
}

/** IPIP: the inner packet behind a valid outer header. */
export function ipipPacket(fields: IpFields, inner: Uint8Array): Uint8Array {
  return ipPacket({ source: '10.1.0.2', destination: '10.1.0.1', ...fields, protocol: 4 }, inner)
}

/** An ICMP error of the given type and code that quotes a packet. */
export function icmpError(fields: IpFields, type: number, code: number, quoted: Uint8Array): Uint8Array {
  const message = new Uint8Array(8 + quoted.length)
  message[0] = type
  message[1] = code
  message.set(quoted, 8)
  put16(message, 2, ~fold(addWords(0, message, 0, message.length)) & 0xffff)
  return ipPacket({ ...fields, protocol: 1 }, message)
}

/** Bytes with a recognisable pattern. */
export function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 255)
}

/** A copy with one byte changed. */
export function withByte(packet: Uint8Array, offset: number, value: number): Uint8Array {
  const copy = packet.slice()
  copy[offset] = value
  return copy
}
