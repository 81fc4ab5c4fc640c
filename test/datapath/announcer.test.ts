import { describe, expect, it } from 'vitest'
import { Announcer } from '../../datapath/announcer.ts'
import { parseDeviceDrops } from '../../datapath/linux/device-drops.ts'
import { parseGateways } from '../../datapath/linux/gateways.ts'
import { ARP_REPLY, ARP_REQUEST, parseArp } from '../../datapath/packet/arp.ts'
import { parseIpv4, parseMac, put16, put32 } from '../../datapath/packet/bytes.ts'

const MAC = parseMac('02:00:00:00:00:01')
const CLIENT = parseMac('02:00:00:00:00:09')
const P = parseIpv4('10.1.0.101')
const GATEWAY = parseIpv4('10.1.0.254')
const SCHEDULE = { scheduleMs: [0, 200, 1_000, 3_000], everyMs: 5_000 }
const LINK = { mac: MAC, address: parseIpv4('10.1.0.1'), gateways: [GATEWAY] }

function arp(operation: number, sender: string, senderMac: Uint8Array, target: string): Uint8Array {
  const frame = new Uint8Array(60)
  frame.fill(255, 0, 6)
  frame.set(senderMac, 6)
  put16(frame, 12, 0x0806)
  put16(frame, 14, 1)
  put16(frame, 16, 0x0800)
  frame[18] = 6
  frame[19] = 4
  put16(frame, 20, operation)
  frame.set(senderMac, 22)
  put32(frame, 28, parseIpv4(sender))
  put32(frame, 38, parseIpv4(target))
  return frame
}

describe('announcer', () => {
  it('answers "who has" for an announced address only, to the asker', () => {
    const announcer = new Announcer(LINK, SCHEDULE)
    announcer.update(new Set([P]), 0)
    const { answer } = announcer.receive(arp(ARP_REQUEST, '10.1.0.9', CLIENT, '10.1.0.101'), 0)
    const message = parseArp(answer!)!
    expect(message.operation).toBe(ARP_REPLY)
    expect([...message.frameDestination]).toEqual([...CLIENT])
    expect([message.sender, [...message.senderMac]]).toEqual([P, [...MAC]])
    expect(announcer.receive(arp(ARP_REQUEST, '10.1.0.9', CLIENT, '10.1.0.102'), 0)).toEqual({ conflict: false })
    expect(announcer.receive(arp(ARP_REPLY, '10.1.0.9', CLIENT, '10.1.0.101'), 0)).toEqual({ conflict: false })
  })

  it('announces at once, at 0.2, 1 and 3 s, then every 5 s; gateways are asked in the early ones', () => {
    const announcer = new Announcer(LINK, SCHEDULE)
    announcer.update(new Set([P]), 1_000)
    const times: number[] = []
    const asked: number[] = []
    for (let now = 1_000; now <= 20_000; now += 50) {
      const dueMs = announcer.nextMs()
      const frames = announcer.due(now).map((frame) => parseArp(frame)!)
      expect(dueMs <= now, 'the engine sleeps until then').toBe(frames.length > 0)
      if (frames.length === 0) continue
      times.push(now - 1_000)
      if (frames.some(({ target }) => target === GATEWAY)) asked.push(now - 1_000)
      expect(frames.every(({ sender }) => sender === P)).toBe(true)
    }
    expect(times).toEqual([0, 200, 1_000, 3_000, 8_000, 13_000, 18_000])
    expect(asked).toEqual([0, 200, 1_000, 3_000])
  })

  it('gives the gratuitous reply its own MAC as target: others are ignored for a second', () => {
    const announcer = new Announcer(LINK, SCHEDULE)
    announcer.update(new Set([P]), 0)
    const reply = announcer.due(0).find((frame) => parseArp(frame)!.operation === ARP_REPLY)!
    expect(reply.slice(32, 38)).toEqual(MAC)
  })

  it('is silent about an address that it no longer announces', () => {
    const announcer = new Announcer(LINK, SCHEDULE)
    announcer.update(new Set([P]), 0)
    announcer.update(new Set(), 10)
    expect(announcer.due(10_000)).toEqual([])
    expect(announcer.nextMs()).toBe(Infinity)
    expect(announcer.receive(arp(ARP_REQUEST, '10.1.0.9', CLIENT, '10.1.0.101'), 0).answer).toBeUndefined()
  })

  it('defends at most once a second and five times, and reports every conflict', () => {
    const announcer = new Announcer(LINK, SCHEDULE)
    announcer.update(new Set([P]), 0)
    const stranger = arp(ARP_REPLY, '10.1.0.101', CLIENT, '10.1.0.9')
    const defended: number[] = []
    for (let now = 0; now <= 10_000; now += 500) {
      const { answer, conflict } = announcer.receive(stranger, now)
      expect(conflict).toBe(true)
      if (answer !== undefined) defended.push(now)
    }
    expect(defended).toEqual([0, 1_000, 2_000, 3_000, 4_000])
    expect(announcer.receive(arp(ARP_REPLY, '10.1.0.101', MAC, '10.1.0.9'), 0).conflict, 'our own frame').toBe(false)
  })

  it.each([
    ['too short', new Uint8Array(41)],
    ['no ARP', new Uint8Array(60)],
  ])('passes over a frame that is %s', (_name, frame) => {
    expect(new Announcer(LINK, SCHEDULE).receive(frame, 0)).toEqual({ conflict: false })
  })
})

describe('device drops', () => {
  const text = [
    'Inter-|   Receive                                                |  Transmit',
    ' face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed',
    '    lo: 1 2 0 0 0 0 0 0 1 2 0 9 0 0 0 0',
    '  dpr0:4321 43 0 0 0 0 0 0 8642 86 0 17 0 0 0 0',
  ].join('\n')
  it.each([
    ['dpr0', 17],
    ['lo', 9],
    ['dpr', 0],
  ])('%s: %i', (device, drops) => {
    expect(parseDeviceDrops(text, device)).toBe(drops)
  })
})

describe('gateways', () => {
  it('reads the on-link routers of each interface', () => {
    const text = [
      'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT',
      'eth0\t00000000\tFE00010A\t0003\t0\t0\t0\t00000000\t0\t0\t0',
      'eth0\t0000090A\tFE00010A\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0',
      'eth0\t0000010A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0',
      '',
    ].join('\n')
    expect(parseGateways(text)).toEqual(new Map([['eth0', [GATEWAY]]]))
  })
})
