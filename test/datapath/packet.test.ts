import { describe, expect, it } from 'vitest'
import { formatIpv4, parseIpv4, parseMac, put16, u16 } from '../../datapath/packet/bytes.ts'
import * as checksum from '../../datapath/packet/checksum.ts'
import { propagateEcn, writeOuterHeader } from '../../datapath/packet/ipip.ts'
import { Ipv4View } from '../../datapath/packet/ipv4-view.ts'
import * as segment from '../../datapath/packet/segment.ts'
import { ipPacket, pattern, tcpPacket } from './packets.ts'

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(/\s+/g, ''), 'hex'))
}

function view(packet: Uint8Array): Ipv4View {
  const parsed = new Ipv4View()
  expect(parsed.parse(packet, 0, packet.length)).toBe(0)
  return parsed
}

/** RFC 1071, section 1, word by word. */
function slowChecksum(bytes: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) {
    sum += (bytes[i]! << 8) + (bytes[i + 1] ?? 0)
    sum = (sum & 0xffff) + (sum >> 16)
  }
  return ~sum & 0xffff
}

describe('checksums', () => {
  it('gives the sum of the example in RFC 1071, section 3', () => {
    expect(checksum.fold(checksum.addWords(0, hex('0001 f203 f4f5 f6f7'), 0, 8))).toBe(0xddf2)
  })

  it('agrees with the slow one for every length and alignment', () => {
    for (let length = 0; length < 70; length++) {
      for (let offset = 0; offset < 4; offset++) {
        const bytes = pattern(length + offset)
        const fast = ~checksum.fold(checksum.addWords(0, bytes, offset, length)) & 0xffff
        expect(fast, `${length} bytes at ${offset}`).toBe(slowChecksum(bytes.subarray(offset)))
      }
    }
  })

  it('does not overflow on 64 KB of ones', () => {
    const bytes = new Uint8Array(65_535).fill(255)
    expect(~checksum.fold(checksum.addWords(131_070, bytes, 0, bytes.length)) & 0xffff).toBe(slowChecksum(bytes))
  })

  it('adjusts incrementally as a full computation would (RFC 1624)', () => {
    for (const ttl of [255, 64, 2, 1]) {
      const packet = tcpPacket({ ttl, id: 0xffff })
      checksum.decrementTtl(packet, 0)
      expect(packet[8]).toBe(ttl - 1)
      expect(checksum.ipv4HeaderValid(packet, 0, 20), `TTL ${ttl}`).toBe(true)
    }
    // The case for which RFC 1141 is wrong and RFC 1624 right: the sum becomes zero.
    expect(checksum.adjustChecksum(0xdd2f, 0x5555, 0x3285)).toBe(0x0000)
  })
})

describe('IPIP by RFC 2003', () => {
  // A SYN from 10.9.0.9:40000 to 10.1.0.101:80, TTL 63 after its hop through the encapsulator; the outer header was
  // computed with another program: total length 60, TTL 64, protocol 4, 10.1.0.1 → 10.2.0.1.
  const inner = hex(`4500 0028 1234 4000 3f06 1525 0a09 0009 0a01 0065
                     9c40 0050 0000 03e8 0000 0000 5002 faf0 0002 0000`)
  const outer = hex('4500 003c 0007 4000 4004 26b3 0a01 0001 0a02 0001')

  it('is byte for byte the golden packet', () => {
    const packet = tcpPacket({ ttl: 64 })
    const out = new Uint8Array(60)
    out.set(packet, 20)
    checksum.decrementTtl(out, 20)
    writeOuterHeader(out, 0, 40, 0, true, 7, parseIpv4('10.1.0.1'), parseIpv4('10.2.0.1'))
    expect(Buffer.from(out).toString('hex')).toBe(Buffer.concat([outer, inner]).toString('hex'))
  })

  it('copies TOS and DF to the outer header', () => {
    const out = new Uint8Array(60)
    writeOuterHeader(out, 0, 40, 0xba, false, 1, 1, 2)
    expect([out[1], u16(out, 6)]).toEqual([0xba, 0])
    expect(checksum.ipv4HeaderValid(out, 0, 20)).toBe(true)
  })

  const NOT_ECT = 0
  const ECT1 = 1
  const ECT0 = 2
  const CE = 3
  const rows: [outer: number, inner: number, kept: boolean, after: number][] = [
    [NOT_ECT, ECT0, true, ECT0],
    [ECT0, ECT0, true, ECT0],
    [CE, ECT0, true, CE],
    [CE, ECT1, true, CE],
    [CE, CE, true, CE],
    [CE, NOT_ECT, false, NOT_ECT],
    [ECT0, NOT_ECT, true, NOT_ECT],
  ]
  it.each(rows)('RFC 6040: outer ECN %i, inner %i', (outerEcn, innerEcn, kept, after) => {
    const packet = tcpPacket({ tos: 0xb8 | innerEcn })
    expect(propagateEcn(packet, outerEcn, 0)).toBe(kept)
    expect(packet[1]).toBe(0xb8 | after)
    expect(checksum.ipv4HeaderValid(packet, 0, 20)).toBe(true)
  })
})

describe('cutting', () => {
  it('segments a super-packet as the kernel would', () => {
    const payload = pattern(3_000)
    const tcpOptions = Uint8Array.from([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2])
    const packet = tcpPacket({ flags: 'APFC', payload, sequence: 0xfffffc00, id: 0xffff, tcpOptions })
    const parsed = view(packet)
    const gso = 1_400
    expect(segment.segmentCount(parsed, gso)).toBe(3)
    const rebuilt: number[] = []
    const flags: number[] = []
    for (let i = 0; i < 3; i++) {
      const out = new Uint8Array(2_000)
      const headerBytes = segment.writeSegmentHeader(packet, parsed, gso, i, out, 0)
      const piece = payload.subarray(i * gso, (i + 1) * gso)
      out.set(piece, headerBytes)
      const whole = view(out.subarray(0, headerBytes + piece.length))
      expect(whole.totalBytes).toBe(headerBytes + piece.length)
      expect(whole.sequence).toBe((0xfffffc00 + i * gso) % 2 ** 32)
      expect(whole.id).toBe((0xffff + i) & 0xffff)
      expect(checksum.transportValid(out, 0, 20, 6, whole.totalBytes - 20), `segment ${i}`).toBe(true)
      flags.push(whole.flags)
      rebuilt.push(...piece)
    }
    expect(flags).toEqual([0x80 | 0x10, 0x10, 0x10 | 0x08 | 0x01])
    expect(Uint8Array.from(rebuilt)).toEqual(payload)
  })

  it('fragments so that the pieces make the packet again', () => {
    const packet = tcpPacket({ payload: pattern(2_000), dontFragment: false })
    const parsed = view(packet)
    const size = segment.fragmentPayloadBytes(parsed, 1_000)
    expect(size % 8).toBe(0)
    const rebuilt = new Uint8Array(2_020)
    const count = Math.ceil(2_020 / size)
    for (let i = 0; i < count; i++) {
      const out = new Uint8Array(20)
      segment.writeFragmentHeader(packet, parsed, size, i, out, 0)
      expect(checksum.ipv4HeaderValid(out, 0, 20)).toBe(true)
      expect((u16(out, 6) & 0x2000) !== 0, 'more fragments').toBe(i < count - 1)
      const start = (u16(out, 6) & 0x1fff) * 8
      const length = u16(out, 2) - 20
      expect(length + 20).toBeLessThanOrEqual(1_000)
      rebuilt.set(packet.subarray(20 + start, 20 + start + length), start)
    }
    expect(rebuilt).toEqual(packet.slice(20))
  })

  it('completes a partial checksum to what a full computation gives', () => {
    const packet = tcpPacket({ payload: pattern(333) })
    const right = u16(packet, 36)
    put16(packet, 36, checksum.fold(checksum.pseudoHeaderSum(packet, 0, 6, packet.length - 20)))
    segment.completeChecksum(packet, 20, 36, packet.length)
    expect(u16(packet, 36)).toBe(right)
  })

  it('answers an oversize packet with "fragmentation needed", the MTU and a quote', () => {
    const packet = tcpPacket({ payload: pattern(1_460), flags: 'A' })
    const out = new Uint8Array(640)
    const length = segment.writeFragmentationNeeded(packet, view(packet), 1_480, parseIpv4('10.1.0.1'), out, 0)
    expect(length).toBe(576)
    const icmp = out.subarray(20, length)
    expect([icmp[0], icmp[1], u16(icmp, 6)]).toEqual([3, 4, 1_480])
    expect(slowChecksum(icmp)).toBe(0)
    expect(checksum.ipv4HeaderValid(out, 0, 20)).toBe(true)
    expect(icmp.slice(8)).toEqual(packet.slice(0, 548))
    const whole = view(out.subarray(0, length))
    expect([formatIpv4(whole.source), formatIpv4(whole.destination)]).toEqual(['10.1.0.1', '10.9.0.9'])
  })
})

describe('addresses', () => {
  it.each(['0.0.0.0', '10.1.0.101', '255.255.255.255'])('%s comes back as it went in', (text) => {
    expect(formatIpv4(parseIpv4(text))).toBe(text)
  })
  it.each(['', '1.2.3', '1.2.3.4.5', '1.2.3.256', 'a.b.c.d', '1.2.3.-4'])('"%s" is refused', (text) => {
    expect(() => parseIpv4(text)).toThrow(RangeError)
  })
  it('refuses what is no MAC', () => {
    expect(() => parseMac('02:00:00:00:00')).toThrow(RangeError)
    expect([...parseMac('02:00:00:00:00:FF')]).toEqual([2, 0, 0, 0, 0, 255])
  })
  it('has no header fields left from the packet before', () => {
    const parsed = view(tcpPacket({ flags: 'SA' }))
    expect(parsed.flags).toBe(0x12)
    const udp = ipPacket({ protocol: 17 }, pattern(4))
    parsed.parse(udp, 0, udp.length)
    expect([parsed.flags, parsed.sourcePort, parsed.tcpHeaderBytes]).toEqual([0, 0, 0])
  })
})
