/** What is on the wire, captured: replies go direct, mac leaves packets as they were, IPIP is RFC 2003 to the byte. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatIpv4, parseIpv4, put16, put32, u16, u32 } from '../../datapath/packet/bytes.ts'
import type { Lab } from '../../lab/lab.ts'
import { CLIENT_ADDRESS } from '../../lab/spec.ts'
import { labDown, labUp } from '../../lab/up.ts'
import { fixTcpChecksum } from '../datapath/packets.ts'
import { countNames, NGINX_SERVER, serverFile, sha256, upload } from './nginx.ts'
import { capture, type Frame } from './pcap.ts'

const name = `wire${process.pid}`
const directory = mkdtempSync(join(tmpdir(), 'dpr-wire-'))
let lab: Lab
let address: string

beforeAll(async () => {
  // The paper's centralized router: h1 serves nothing itself, so everything at its published address is redirected.
  lab = await labUp({ name, policy: 'router', server: NGINX_SERVER })
  address = lab.host('h1').published[0]!
})
afterAll(async () => {
  await labDown(name)
  rmSync(directory, { recursive: true, force: true })
})

const source = ({ ip }: Frame): string => formatIpv4(u32(ip, 12))
const destination = ({ ip }: Frame): string => formatIpv4(u32(ip, 16))
const protocol = ({ ip }: Frame): number => ip[9]!
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** RFC 1071, word by word; independent of the code under test. */
function checksum(bytes: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) + (bytes[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

/** The packet after one hop into a tunnel: TTL one less, all checksums complete. */
function afterHop(packet: Uint8Array): Uint8Array {
  const out = packet.slice()
  out[8] = out[8]! - 1
  put16(out, 10, 0)
  put16(out, 10, checksum(out.subarray(0, 20)))
  fixTcpChecksum(out)
  return out
}

/** RFC 2003, 3.1, field by field; the identification is the sender's choice. */
function encapsulated(inner: Uint8Array, from: string, to: string, id: number): Uint8Array {
  const out = new Uint8Array(20 + inner.length)
  out[0] = 0x45
  out[1] = inner[1]!
  put16(out, 2, out.length)
  put16(out, 4, id)
  put16(out, 6, u16(inner, 6) & 0x4000)
  out[8] = 64
  out[9] = 4
  put32(out, 12, parseIpv4(from))
  put32(out, 16, parseIpv4(to))
  put16(out, 10, checksum(out.subarray(0, 20)))
  out.set(inner, 20)
  return out
}

describe('on the wire', () => {
  it('no reply passes the rewriter, though it carries every request', async () => {
    const stop = await capture(lab, 'h1', join(directory, 'h1.pcap'), 'ip')
    const servers = await Promise.all(['h2', 'h3', 'h4'].map((h) => capture(lab, h, join(directory, h), 'ip')))
    const names = await countNames(lab, address, 30)
    const atRewriter = await stop()
    const atServers = (await Promise.all(servers.map((end) => end()))).flat()
    expect(names['h1']).toBeUndefined()
    const requests = atRewriter.filter((frame) => destination(frame) === address && source(frame) === CLIENT_ADDRESS)
    expect(requests.length, 'SYN, ACK, GET, FIN of each').toBeGreaterThan(30 * 4)
    expect(atRewriter.filter((frame) => source(frame) === address)).toEqual([])
    const replies = atServers.filter((frame) => source(frame) === address && destination(frame) === CLIENT_ADDRESS)
    expect(replies.length, 'SYN-ACK, answer, FIN of each').toBeGreaterThan(30 * 3)
  })

  it('mac mode changes the Ethernet header and nothing else', async () => {
    const stop = await capture(lab, 'h1', join(directory, 'mac.pcap'), 'tcp port 80')
    await countNames(lab, address, 12)
    const frames = await stop()
    const { mac: rewriter } = lab.host('h1')
    const { mac: server } = lab.host('h2')
    const arrived = new Set(frames.filter(({ destinationMac }) => destinationMac === rewriter).map(({ ip }) => hex(ip)))
    const forwarded = frames.filter(({ destinationMac }) => destinationMac === server)
    expect(forwarded.length).toBeGreaterThan(12)
    for (const frame of forwarded) {
      expect(frame.sourceMac).toBe(rewriter)
      expect(arrived.has(hex(frame.ip)), `unchanged: ${hex(frame.ip)}`).toBe(true)
    }
  })

  it('IPIP is byte for byte what RFC 2003 says', async () => {
    const stop = await capture(lab, 'h1', join(directory, 'ipip.pcap'), 'ip')
    await countNames(lab, address, 12)
    const frames = await stop()
    const { mac, address: node } = lab.host('h1')
    const arrived = new Map(
      frames
        .filter((frame) => frame.destinationMac === mac && destination(frame) === address)
        .map(({ ip }) => [hex(afterHop(ip)), ip]),
    )
    const tunnelled = frames.filter((frame) => protocol(frame) === 4)
    expect(tunnelled.length).toBeGreaterThan(12)
    const ids = new Set<number>()
    for (const { ip } of tunnelled) {
      const inner = ip.slice(20)
      expect(arrived.has(hex(inner)), `an arrived packet, one hop on: ${hex(inner)}`).toBe(true)
      expect(hex(ip)).toBe(hex(encapsulated(inner, node, formatIpv4(u32(ip, 16)), u16(ip, 4))))
      ids.add(u16(ip, 4))
    }
    expect(ids.size, 'identifications do not repeat').toBe(tunnelled.length)
  })

  it('50 MB go up both ways, and nothing is dropped for its size', async () => {
    const bytes = Buffer.alloc(50 * 1024 * 1024)
    for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32LE((Math.imul(i, 2_654_435_761) ^ i) >>> 0, i)
    const path = join(directory, 'up50')
    writeFileSync(path, bytes)
    const left = new Set(['h2', 'h3', 'h4'])
    for (let round = 0; round < 12 && left.size > 0; round++) {
      const host = await upload(lab, address, path, `fifty-${round}`)
      expect(sha256(serverFile(lab, host, `fifty-${round}`)), host).toBe(sha256(bytes))
      left.delete(host)
    }
    expect([...left]).toEqual([])
    const { packets, counters, drops } = await lab.status('h1')
    expect(packets.mac).toBeGreaterThan(0)
    expect(packets.ipip).toBeGreaterThan(0)
    expect(counters.dropped, JSON.stringify(drops)).toBe(0)
  })
})
