import { describe, expect, it } from 'vitest'
import { DROP, DROP_REASONS } from '../../datapath/counters.ts'
import { put16 } from '../../datapath/packet/bytes.ts'
import { setIpv4Checksum } from '../../datapath/packet/checksum.ts'
import { B, C, Harness, P1, P2, SELF } from './core-harness.ts'
import { fixTcpChecksum, icmpError, ipipPacket, ipPacket, pattern, tcpPacket, withByte } from './packets.ts'

describe('rewriting core: flows', () => {
  it('redirects new flows to the next slot of the ring and keeps known flows where they are', () => {
    const h = new Harness()
    expect(h.send(tcpPacket({ sourcePort: 1 }))).toBe('mac b')
    expect(h.send(tcpPacket({ sourcePort: 2 }))).toBe('ipip c')
    expect(h.send(tcpPacket({ sourcePort: 3 }))).toBe('mac b')
    expect(h.send(tcpPacket({ sourcePort: 2, flags: 'A' }))).toBe('ipip c')
    expect(h.send(tcpPacket({ sourcePort: 1, flags: 'AP', payload: pattern(100) }))).toBe('mac b')
    expect(h.count('flowsRedirected')).toBe(3)
    expect(h.core.flows.entries).toBe(3)
  })

  it('keeps new flows here while fewer than the limit are active', () => {
    const h = new Harness({ localLimit: 3 })
    const open = (port: number): string => {
      const verdict = h.send(tcpPacket({ sourcePort: port }))
      h.send(tcpPacket({ sourcePort: port, flags: 'A' }))
      return verdict
    }
    expect([1, 2, 3, 4, 5].map(open)).toEqual(['local', 'local', 'local', 'mac b', 'ipip c'])
    // One of ours ends: the next flow may stay.
    h.send(tcpPacket({ sourcePort: 2, flags: 'FA' }))
    expect(open(6)).toBe('local')
    expect(h.count('flowsLocal')).toBe(4)
  })

  it('counts young half-open flows only up to a tenth of the limit, so that a flood is no load', () => {
    const h = new Harness({ localLimit: 20 })
    for (let port = 1; port <= 500; port++) expect(h.send(tcpPacket({ sourcePort: port }))).toBe('local')
    expect(h.core.activeFlows(20)).toBe(2)
  })

  it('never redirects what a member sent', () => {
    const h = new Harness({ localLimit: 0 })
    expect(h.send(tcpPacket({ sourcePort: 1 }), { fromMember: true })).toBe('local')
    expect(h.send(tcpPacket({ sourcePort: 1, flags: 'A' }), { fromMember: true })).toBe('local')
    expect(h.send(tcpPacket({ sourcePort: 9, flags: 'A' }), { fromMember: true })).toBe('local')
    expect(h.count('flowsReceived')).toBe(1)
    expect(h.core.activeFlows(Infinity)).toBe(2)
  })

  it('sends a retransmitted SYN to the same destination, and counts the flow once', () => {
    const h = new Harness()
    for (let i = 0; i < 3; i++) expect(h.send(tcpPacket({ sourcePort: 1, sequence: 5 }))).toBe('mac b')
    expect(h.count('flowsRedirected')).toBe(1)
  })

  it('places a retransmitted SYN anew once its destination may not serve', () => {
    const h = new Harness()
    expect(h.send(tcpPacket({ sourcePort: 1 }))).toBe('mac b')
    h.change({ tables: [{ ...h.snapshot.tables[0]!, ring: Uint16Array.from([C]) }] })
    h.changeMember(B, { eligible: false })
    expect(h.send(tcpPacket({ sourcePort: 1 }))).toBe('ipip c')
  })

  it('leaves an established flow with a suspect member, holds those of a silent one, forwards to a dead daemon', () => {
    const h = new Harness()
    h.send(tcpPacket({ sourcePort: 1 }))
    h.send(tcpPacket({ sourcePort: 1, flags: 'A' }))
    h.changeMember(B, { eligible: false })
    expect(h.send(tcpPacket({ sourcePort: 1, flags: 'A' }))).toBe('mac b')
    h.changeMember(B, { existing: 'hold' })
    expect(h.send(tcpPacket({ sourcePort: 1, flags: 'A' }))).toBe('hold')
    h.changeMember(B, { existing: 'forward' })
    expect(h.send(tcpPacket({ sourcePort: 1, flags: 'A' }))).toBe('mac b')
  })

  it('never follows an index that was given to another member', () => {
    const h = new Harness()
    h.send(tcpPacket({ sourcePort: 1 }))
    h.send(tcpPacket({ sourcePort: 1, flags: 'A' }))
    h.changeMember(B, { id: 'other', generation: 2 })
    expect(h.send(tcpPacket({ sourcePort: 1, flags: 'A' }))).toBe('drop destination-gone')
    expect(h.shared.flowsByMember[B], 'its new holder has no flows of ours').toBe(0)
    expect(h.send(tcpPacket({ sourcePort: 1, sequence: 77 }))).toBe('ipip c')
    expect(h.shared.flowsByMember[B]).toBe(0)
  })

  it('keeps the count of flows at a member that was away for a while', () => {
    const h = new Harness()
    h.send(tcpPacket({ sourcePort: 1 }))
    h.send(tcpPacket({ sourcePort: 1, flags: 'A', sequence: 1_001 }))
    const members = [...h.snapshot.members]
    h.change({ members: [members[0], undefined, members[2]] })
    h.nowMs += 3 * 3_600_000
    h.core.tick(h.nowMs)
    h.change({ members })
    expect(h.shared.flowsByMember[B]).toBe(0)
  })

  it('never sends on what a member sent, even if an entry of its own says so', () => {
    const h = new Harness()
    expect(h.send(tcpPacket({ sourcePort: 1 }))).toBe('mac b')
    h.send(tcpPacket({ sourcePort: 1, flags: 'A', sequence: 1_001 }))
    expect(h.send(tcpPacket({ sourcePort: 1, flags: 'A', sequence: 1_001 }), { fromMember: true })).toBe('drop loop')
    expect(h.send(tcpPacket({ sourcePort: 1, sequence: 5_000 }), { fromMember: true }), 'a new flow').toBe('local')
    expect(h.send(tcpPacket({ sourcePort: 1, flags: 'A', sequence: 5_001 }), { fromMember: true })).toBe('local')
    const first = { id: 9, moreFragments: true, dontFragment: false, payload: pattern(44), sourcePort: 2 }
    expect(h.send(tcpPacket(first))).toBe('ipip c')
    const later = ipPacket({ id: 9, fragmentOffset: 64, dontFragment: false }, pattern(40))
    expect(h.send(later, { fromMember: true })).toBe('drop loop')
  })

  it('counts a SYN once, though its first destination went away', () => {
    const h = new Harness()
    expect(h.send(tcpPacket({ sourcePort: 1 }))).toBe('mac b')
    h.changeMember(B, { eligible: false })
    expect(h.send(tcpPacket({ sourcePort: 1 }))).toBe('ipip c')
    expect(h.count('flowsRedirected')).toBe(1)
  })

  it('ignores a FIN or RST whose sequence the client would not use', () => {
    for (const end of ['FA', 'R']) {
      const h = new Harness({ localLimit: Infinity })
      h.send(tcpPacket({ sourcePort: 1, sequence: 1_000 }))
      h.send(tcpPacket({ sourcePort: 1, flags: 'A', sequence: 1_001, payload: pattern(500) }))
      for (const sequence of [0x7000_0000, 900_000, 0xf000_0000]) {
        expect(h.send(tcpPacket({ sourcePort: 1, flags: end, sequence }))).toBe('local')
        expect(h.core.activeFlows(Infinity), `${end} at ${sequence}`).toBe(1)
      }
      h.send(tcpPacket({ sourcePort: 1, flags: end, sequence: 1_501 }))
      expect(h.core.activeFlows(Infinity), end).toBe(0)
    }
  })

  it('opens a new flow for a SYN on a finished or reset one', () => {
    for (const end of ['FA', 'R']) {
      const h = new Harness()
      h.send(tcpPacket({ sourcePort: 1 }))
      h.send(tcpPacket({ sourcePort: 1, flags: 'A' }))
      h.send(tcpPacket({ sourcePort: 1, flags: end }))
      expect(h.send(tcpPacket({ sourcePort: 1, sequence: 9_999 })), end).toBe('ipip c')
      expect(h.count('flowsRedirected'), end).toBe(2)
    }
  })

  it('does not let a blind RST or a half-close unseat a flow', () => {
    const h = new Harness({ localLimit: Infinity })
    h.send(tcpPacket({ sourcePort: 1 }))
    h.send(tcpPacket({ sourcePort: 1, flags: 'A' }))
    expect(h.core.activeFlows(Infinity)).toBe(1)
    h.send(tcpPacket({ sourcePort: 1, flags: 'R' }))
    expect(h.core.activeFlows(Infinity)).toBe(0)
    h.send(tcpPacket({ sourcePort: 1, flags: 'A' }))
    expect(h.core.activeFlows(Infinity)).toBe(1)
    h.send(tcpPacket({ sourcePort: 1, flags: 'FA' }))
    h.send(tcpPacket({ sourcePort: 1, flags: 'A' }))
    expect(h.core.activeFlows(Infinity), 'only acknowledges').toBe(0)
    h.send(tcpPacket({ sourcePort: 1, flags: 'A', payload: pattern(1) }))
    expect(h.core.activeFlows(Infinity), 'sends data').toBe(1)
  })

  it('treats orphans as the address says, and leaves no entry behind', () => {
    const h = new Harness()
    expect(h.send(tcpPacket({ flags: 'A', destination: P1 }))).toBe('local')
    expect(h.send(tcpPacket({ flags: 'A', destination: P2 }))).toBe('hold')
    expect(h.core.flows.entries).toBe(0)
    expect([h.count('orphansLocal'), h.count('orphansHeld')]).toEqual([1, 1])
  })

  it('passes what is no service, no TCP or no published address to the local stack', () => {
    const h = new Harness()
    expect(h.send(tcpPacket({ destinationPort: 22 }))).toBe('local')
    expect(h.send(tcpPacket({ destination: '10.1.0.50' }))).toBe('local')
    expect(h.send(ipPacket({ protocol: 17 }, pattern(12)))).toBe('local')
    expect(h.send(ipPacket({ protocol: 1 }, Uint8Array.from([8, 0, 0, 0, 0, 1, 0, 1])))).toBe('local')
  })

  it('keeps new flows here when the control plane is dead, and known ones where they are', () => {
    const h = new Harness()
    expect(h.send(tcpPacket({ sourcePort: 1 }))).toBe('mac b')
    h.core.leaseFresh = false
    expect(h.send(tcpPacket({ sourcePort: 2 }))).toBe('local')
    expect(h.send(tcpPacket({ sourcePort: 1, flags: 'A' }))).toBe('mac b')
  })

  it('serves here when the ring is empty or its slot is this host', () => {
    expect(new Harness({ ring: new Uint16Array(0) }).send(tcpPacket())).toBe('local')
    expect(new Harness({ ring: Uint16Array.from([SELF]) }).send(tcpPacket())).toBe('local')
  })

  it('continues the ring where it was when a new table comes', () => {
    const h = new Harness()
    expect(h.send(tcpPacket({ sourcePort: 1 }))).toBe('mac b')
    h.change({ tables: [{ ...h.snapshot.tables[0]!, ring: Uint16Array.from([B, C]) }] })
    expect(h.send(tcpPacket({ sourcePort: 2 }))).toBe('ipip c')
  })

  it('ignores a snapshot that is not newer', () => {
    const h = new Harness()
    h.core.publish({ ...h.snapshot, tables: [{ ...h.snapshot.tables[0]!, ring: new Uint16Array(0) }] }, 0)
    expect(h.send(tcpPacket())).toBe('mac b')
  })

  it('places new flows by the stable fallback table when the flow table is full, and finds them again', () => {
    for (const localLimit of [0, Infinity]) {
      const h = new Harness({ localLimit }, 16)
      for (let port = 1; port <= 16; port++) {
        h.send(tcpPacket({ sourcePort: port }))
        h.send(tcpPacket({ sourcePort: port, flags: 'A', sequence: 1_001 }))
      }
      expect(h.core.flows.full).toBe(true)
      const placed = new Map<number, string>()
      for (let port = 100; port < 160; port++) placed.set(port, h.send(tcpPacket({ sourcePort: port })))
      expect(new Set(placed.values())).toEqual(new Set(['local', 'mac b', 'ipip c']))
      // Room again, or the control plane gone: they stay where they are.
      h.send(tcpPacket({ sourcePort: 1, flags: 'R', sequence: 1_001 }))
      h.nowMs += 11_000
      h.core.tick(h.nowMs)
      expect(h.core.flows.full).toBe(false)
      for (const leaseFresh of [true, false]) {
        h.core.leaseFresh = leaseFresh
        for (const [port, verdict] of placed) {
          expect(h.send(tcpPacket({ sourcePort: port, flags: 'A', sequence: 1_001 })), `port ${port}`).toBe(verdict)
        }
      }
    }
  })
})

describe('rewriting core: stateless', () => {
  const stateless = { stateless: true, ring: Uint16Array.from([SELF, B, C, SELF, B, C, SELF]) }

  it('sends every packet of a client port the same way without an entry for peers', () => {
    const h = new Harness(stateless)
    const seen = new Set<string>()
    for (let port = 1; port < 60; port++) {
      const first = h.send(tcpPacket({ sourcePort: port }))
      seen.add(first)
      expect(h.send(tcpPacket({ sourcePort: port, flags: 'A' }))).toBe(first)
      expect(h.send(tcpPacket({ sourcePort: port, flags: 'FA' }))).toBe(first)
    }
    expect(seen).toEqual(new Set(['local', 'mac b', 'ipip c']))
    expect(h.count('flowsLocal') + h.count('flowsRedirected')).toBe(59)
    expect(h.core.flows.entries).toBe(h.count('flowsLocal'))
  })

  it('goes on as before when the control plane is dead: without entries nothing else would find a flow', () => {
    const h = new Harness(stateless)
    const before = [1, 2, 3, 4, 5, 6].map((port) => h.send(tcpPacket({ sourcePort: port, flags: 'A' })))
    h.core.leaseFresh = false
    expect([1, 2, 3, 4, 5, 6].map((port) => h.send(tcpPacket({ sourcePort: port, flags: 'A' })))).toEqual(before)
    expect(new Set(before).size).toBeGreaterThan(1)
  })

  it('counts a retransmitted SYN once', () => {
    const h = new Harness(stateless)
    for (let i = 0; i < 5; i++) h.send(tcpPacket({ sourcePort: 7 }))
    expect(h.count('flowsLocal') + h.count('flowsRedirected')).toBe(1)
  })

  it('still never redirects what a member sent', () => {
    const h = new Harness({ ...stateless, ring: Uint16Array.from([B]) })
    expect(h.send(tcpPacket(), { fromMember: true })).toBe('local')
  })
})

describe('rewriting core: IPIP', () => {
  const inner = tcpPacket()
  const rows: [name: string, packet: Uint8Array, verdict: string][] = [
    ['from a member for a published address', ipipPacket({}, inner), 'local'],
    ['from a stranger', ipipPacket({ source: '192.0.2.1' }, inner), 'drop ipip-stranger'],
    ['an outer fragment', ipipPacket({ moreFragments: true, dontFragment: false }, inner), 'drop ipip-fragment'],
    [
      'for an address that is not published',
      ipipPacket({}, tcpPacket({ destination: '10.1.0.1' })),
      'drop ipip-inner-destination',
    ],
    ['inner source loopback', ipipPacket({}, tcpPacket({ source: '127.0.0.1' })), 'drop ipip-inner-source'],
    ['inner source multicast', ipipPacket({}, tcpPacket({ source: '224.0.0.1' })), 'drop ipip-inner-source'],
    ['inner source this host', ipipPacket({}, tcpPacket({ source: '10.1.0.1' })), 'drop ipip-inner-source'],
    ['inner source a member', ipipPacket({}, tcpPacket({ source: '10.2.0.1' })), 'drop ipip-inner-source'],
    ['inner source a published address', ipipPacket({}, tcpPacket({ source: P2 })), 'drop ipip-inner-source'],
    ['a port that is no service', ipipPacket({}, tcpPacket({ destinationPort: 22 })), 'drop ipip-inner-protocol'],
    [
      'IPIP in IPIP',
      ipipPacket({}, ipipPacket({ source: '10.9.0.9', destination: P1 }, inner)),
      'drop ipip-inner-protocol',
    ],
    [
      'ICMP echo',
      ipipPacket({}, ipPacket({ protocol: 1 }, Uint8Array.from([8, 0, 0, 0, 0, 0, 0, 0]))),
      'drop ipip-inner-protocol',
    ],
    [
      'a later fragment of TCP',
      ipipPacket({}, ipPacket({ fragmentOffset: 1_480, dontFragment: false }, pattern(64))),
      'drop fragment-early',
    ],
    ['truncated inside', ipipPacket({}, inner.subarray(0, 30)), 'drop ip-total-length'],
    ['an empty inside', ipipPacket({}, new Uint8Array(0)), 'drop ip-truncated'],
    ['not IPv4 inside', ipipPacket({}, withByte(inner, 0, 0x65)), 'drop not-ipv4'],
    ['CE outside, not ECN-capable inside', ipipPacket({ tos: 3 }, inner), 'drop ipip-ecn'],
    ['CE outside, ECN-capable inside', ipipPacket({ tos: 3 }, tcpPacket({ tos: 2 })), 'local'],
  ]
  it.each(rows)('%s', (_name, packet, verdict) => {
    const h = new Harness()
    expect(h.send(packet)).toBe(verdict)
    if (verdict === 'local') expect([h.core.stripped, h.count('flowsReceived')]).toEqual([20, 1])
  })

  it('accepts a member that left less than a minute ago, and nobody after that', () => {
    const h = new Harness()
    h.change({ members: h.snapshot.members.slice(0, 2) })
    const packet = ipipPacket({ source: '10.2.0.1' }, inner)
    h.nowMs += 59_000
    expect(h.send(packet)).toBe('local')
    h.nowMs += 2_000
    expect(h.send(packet)).toBe('drop ipip-stranger')
  })

  it('needs a hop: a packet that must be tunnelled with TTL 1 is dropped', () => {
    const h = new Harness({ ring: Uint16Array.from([C]) })
    expect(h.send(tcpPacket({ ttl: 1 }))).toBe('drop ip-ttl')
  })
})

describe('rewriting core: ICMP and fragments', () => {
  it('sends an ICMP error after the flow that it quotes', () => {
    const h = new Harness()
    h.send(tcpPacket({ sourcePort: 1 }))
    h.send(tcpPacket({ sourcePort: 2 }))
    const quote = (port: number): Uint8Array =>
      tcpPacket({ source: P1, sourcePort: 80, destination: '10.9.0.9', destinationPort: port, flags: 'A' }).subarray(
        0,
        28,
      )
    const from = { source: '10.9.0.254' }
    expect(h.send(icmpError(from, 3, 4, quote(1)))).toBe('mac b')
    expect(h.send(icmpError(from, 3, 4, quote(2)))).toBe('ipip c')
    expect(h.send(icmpError(from, 11, 0, quote(9))), 'unknown flow').toBe('local')
    expect(h.send(icmpError(from, 3, 4, quote(1).subarray(0, 24))), 'quote too short').toBe('local')
    expect(h.send(icmpError(from, 3, 4, withByte(quote(1), 9, 17))), 'quotes UDP').toBe('local')
    expect(h.send(icmpError(from, 3, 4, withByte(quote(1), 7, 5))), 'quotes a later fragment').toBe('local')
    expect(h.send(icmpError(from, 3, 4, withByte(quote(1), 15, 102))), 'quotes another address of ours').toBe('local')
    expect(h.send(icmpError(from, 0, 0, quote(1))), 'quotes nothing: an echo reply').toBe('local')
    expect(h.send(icmpError(from, 3, 4, quote(1)), { fromMember: true })).toBe('local')
  })

  it('lets later fragments follow the first for two seconds', () => {
    const h = new Harness()
    const first = { id: 77, moreFragments: true, dontFragment: false, payload: pattern(44) }
    const later = (id: number): Uint8Array => ipPacket({ id, fragmentOffset: 64, dontFragment: false }, pattern(40))
    expect(h.send(later(77))).toBe('drop fragment-early')
    expect(h.send(tcpPacket(first))).toBe('mac b')
    expect(h.send(later(77))).toBe('mac b')
    expect(h.send(later(78))).toBe('drop fragment-early')
    h.nowMs += 2_001
    expect(h.send(later(77))).toBe('drop fragment-early')
  })
})

describe('rewriting core: malformed packets end in a counter', () => {
  const good = tcpPacket({ payload: pattern(8) })
  const reheader = (change: (packet: Uint8Array) => void): Uint8Array => {
    const packet = good.slice()
    change(packet)
    setIpv4Checksum(packet, 0, 20)
    return packet
  }
  const retcp = (change: (packet: Uint8Array) => void): Uint8Array => {
    const packet = good.slice()
    change(packet)
    fixTcpChecksum(packet)
    return packet
  }
  const rows: [name: string, packet: Uint8Array, reason: string][] = [
    ['no bytes at all', new Uint8Array(0), 'ip-truncated'],
    ['19 bytes', good.subarray(0, 19), 'ip-truncated'],
    ['version 6', withByte(good, 0, 0x65), 'not-ipv4'],
    ['version 0', withByte(good, 0, 0x05), 'not-ipv4'],
    ['header length 16', reheader((p) => (p[0] = 0x44)), 'ip-header-length'],
    ['header longer than the packet', withByte(good.subarray(0, 40), 0, 0x4f), 'ip-header-length'],
    ['total length 0', reheader((p) => put16(p, 2, 0)), 'ip-total-length'],
    ['total length below the header', reheader((p) => put16(p, 2, 19)), 'ip-total-length'],
    ['total length beyond the frame', reheader((p) => put16(p, 2, 49)), 'ip-total-length'],
    ['wrong header checksum', withByte(good, 10, good[10]! ^ 1), 'ip-checksum'],
    ['truncated TCP', reheader((p) => put16(p, 2, 39)), 'tcp-truncated'],
    ['TCP header length 16', retcp((p) => (p[32] = 0x40)), 'tcp-header-length'],
    ['TCP header longer than the packet', retcp((p) => (p[32] = 0xf0)), 'tcp-header-length'],
    ['no flags', retcp((p) => (p[33] = 0)), 'tcp-flags'],
    ['SYN and FIN', retcp((p) => (p[33] = 3)), 'tcp-flags'],
    ['SYN and RST', retcp((p) => (p[33] = 6)), 'tcp-flags'],
    ['FIN without ACK', retcp((p) => (p[33] = 1)), 'tcp-flags'],
    ['all flags', retcp((p) => (p[33] = 0xff)), 'tcp-flags'],
    ['wrong TCP checksum on a SYN', withByte(good, 36, good[36]! ^ 1), 'tcp-checksum'],
    [
      'fragment over the TCP header',
      ipPacket({ fragmentOffset: 8, dontFragment: false }, pattern(40)),
      'fragment-overlap',
    ],
    ['source 0.0.0.0', tcpPacket({ source: '0.0.0.0' }), 'ip-source'],
    ['source loopback', tcpPacket({ source: '127.1.2.3' }), 'ip-source'],
    ['source multicast', tcpPacket({ source: '239.1.1.1' }), 'ip-source'],
    ['source broadcast', tcpPacket({ source: '255.255.255.255' }), 'ip-source'],
    ['ICMP of 7 bytes', ipPacket({ protocol: 1 }, pattern(7)), 'icmp-truncated'],
  ]
  it.each(rows)('%s', (_name, packet, reason) => {
    const h = new Harness()
    expect(h.send(packet)).toBe(`drop ${reason}`)
    expect(h.shared.values[DROP[reason as keyof typeof DROP]]).toBe(1)
    expect(h.core.flows.entries).toBe(0)
  })

  it('takes IP options, TCP options, padding behind the packet and partial checksums', () => {
    const h = new Harness()
    const options = Uint8Array.from([1, 1, 1, 1, 1, 1, 1, 0])
    expect(h.send(tcpPacket({ sourcePort: 1, options }))).toBe('mac b')
    expect(h.send(tcpPacket({ sourcePort: 1, flags: 'A', options }))).toBe('mac b')
    expect(h.send(tcpPacket({ sourcePort: 2, tcpOptions: Uint8Array.from([2, 4, 5, 180]) }))).toBe('ipip c')
    const padded = new Uint8Array(60)
    padded.set(tcpPacket({ sourcePort: 3 }))
    expect(h.send(padded)).toBe('mac b')
    expect(h.send(withByte(tcpPacket({ sourcePort: 4 }), 36, 0), { checksumKnown: true })).toBe('ipip c')
  })

  it('survives 20,000 packets with random damage, and counts each of them once', () => {
    const h = new Harness({ localLimit: 2 })
    let state = 42
    const random = (below: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
      return Math.floor((state / 4_294_967_296) * below)
    }
    const seeds = [good, ipipPacket({}, good), icmpError({}, 3, 4, good), ipPacket({ fragmentOffset: 80 }, good)]
    const total = 20_000
    for (let i = 0; i < total; i++) {
      const packet = seeds[random(seeds.length)]!.slice()
      for (let k = random(4); k > 0; k--) packet[random(packet.length)] = random(256)
      if (random(2) === 0) setIpv4Checksum(packet, 0, 20)
      h.send(packet.subarray(0, packet.length - random(3)), { fromMember: random(5) === 0 })
    }
    const drops = DROP_REASONS.reduce((sum, reason) => sum + h.shared.values[DROP[reason]]!, 0)
    const passed = h.count('packetsLocal') + h.count('packetsMac') + h.count('packetsIpip') + h.count('packetsHeld')
    expect(drops + passed).toBe(total)
    expect(drops).toBeGreaterThan(total / 10)
    expect(passed).toBeGreaterThan(total / 10)
    expect(h.core.flows.entries).toBeLessThanOrEqual(h.core.flows.capacity)
  })
})
