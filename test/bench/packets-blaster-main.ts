/**
 * Sends TCP frames as fast as one thread can: ACKs of one or of many flows that SYNs have opened before, through a
 * packet socket and sendmmsg(2), from a network namespace of its own that goes when this process does.
 *
 * Spawned by packets-cell.ts, which asks over the IPC channel.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import * as libc from '../../datapath/linux/libc.ts'
import { formatIpv4, parseIpv4, parseMac } from '../../datapath/packet/bytes.ts'
import { SendBatch } from '../../datapath/tun/send-batch.ts'
import { enterOwnNetworkNamespace } from '../compliance/own-namespace.ts'
import { tcpPacket } from '../datapath/packets.ts'
import { PUBLISHED_ADDRESS, SERVICE_PORT } from './packets-messages.ts'
import type { BlastCount, FromBlaster, ToBlaster } from './packets-messages.ts'

/** 64 bytes with the check sequence that a wire would add: the smallest Ethernet frame. */
const FRAME_BYTES = 60
const SLOT_BYTES = 64
const ETHERNET_BYTES = 14
const SOCKADDR_LL_BYTES = 20
const BATCH_FRAMES = 64
const FLOWS_MAX = 65_536
const FIRST_CLIENT = parseIpv4('10.9.0.1')
const FIRST_PORT = 1_024
const PORTS_PER_CLIENT = 60_000
/** A flow must not be opened by half because a queue was full. */
const OPENING_PAUSE_MS = 2

class Blaster {
  readonly #fd: number
  readonly #batch = new SendBatch(BATCH_FRAMES, SOCKADDR_LL_BYTES)
  readonly #flows: number
  readonly #syns: libc.NativeMemory
  readonly #acks: libc.NativeMemory

  constructor(ifindex: number, from: Uint8Array, to: Uint8Array, flows: number) {
    if (flows < 1 || flows > FLOWS_MAX) throw new RangeError(`${flows} flows are not within 1 to ${FLOWS_MAX}`)
    this.#flows = flows
    this.#fd = libc.socket(libc.AF_PACKET, libc.SOCK_RAW | libc.SOCK_CLOEXEC, 0)
    if (this.#fd < 0) throw new Error(`packet socket: ${libc.describeErrno(libc.errno())}`)
    const addresses = new DataView(this.#batch.addresses.buffer, this.#batch.addresses.byteOffset)
    for (let i = 0; i < BATCH_FRAMES; i++) {
      const at = i * SOCKADDR_LL_BYTES
      addresses.setUint16(at, libc.AF_PACKET, true)
      addresses.setUint16(at + 2, 0x0800, false)
      addresses.setInt32(at + 4, ifindex, true)
    }
    this.#syns = framesOf('S', from, to, flows)
    this.#acks = framesOf('A', from, to, flows)
  }

  /** Opens every flow: SYN, then ACK. */
  async open(): Promise<void> {
    for (const memory of [this.#syns, this.#acks]) {
      for (let flow = 0; flow < this.#flows;) {
        for (; flow < this.#flows && !this.#batch.full; flow++) this.#add(memory, flow)
        this.#batch.flush(this.#fd)
        await sleep(OPENING_PAUSE_MS)
      }
    }
    if (this.#batch.queueFull + this.#batch.failed > 0) throw new Error('opening the flows: frames were refused')
  }

  /** Blocks for that long. The flows take turns. */
  blast(forMs: number): BlastCount {
    const batch = this.#batch
    const startedMs = performance.now()
    let offered = 0
    let flow = 0
    while (performance.now() - startedMs < forMs) {
      while (!batch.full) {
        this.#add(this.#acks, flow)
        flow = flow + 1 === this.#flows ? 0 : flow + 1
      }
      batch.flush(this.#fd)
      offered += BATCH_FRAMES
    }
    const tookMs = performance.now() - startedMs
    const refused = batch.queueFull + batch.failed
    batch.queueFull = 0
    batch.failed = 0
    return { sent: offered - refused, refused, tookMs }
  }

  #add(memory: libc.NativeMemory, flow: number): void {
    this.#batch.add(memory.address + flow * SLOT_BYTES, FRAME_BYTES)
  }
}

function framesOf(flags: string, from: Uint8Array, to: Uint8Array, flows: number): libc.NativeMemory {
  const memory = new libc.NativeMemory(flows * SLOT_BYTES)
  for (let flow = 0; flow < flows; flow++) {
    const frame = memory.bytes.subarray(flow * SLOT_BYTES, flow * SLOT_BYTES + FRAME_BYTES)
    frame.set(to, 0)
    frame.set(from, 6)
    frame.set([0x08, 0x00], 12)
    const packet = tcpPacket({
      source: formatIpv4(FIRST_CLIENT + Math.floor(flow / PORTS_PER_CLIENT)),
      sourcePort: FIRST_PORT + (flow % PORTS_PER_CLIENT),
      destination: PUBLISHED_ADDRESS,
      destinationPort: SERVICE_PORT,
      sequence: flags === 'S' ? 1_000 : 1_001,
      flags,
    })
    frame.set(packet, ETHERNET_BYTES)
  }
  return memory
}

/** The engine's side has given us the other end of its cable, named peer0. */
function plugIn(mac: string, flows: number): Blaster {
  const noIpv6 = '/proc/sys/net/ipv6/conf/peer0/disable_ipv6'
  if (existsSync(noIpv6)) writeFileSync(noIpv6, '1')
  execFileSync('ip', ['link', 'set', 'peer0', 'up'])
  const listing = execFileSync('ip', ['-j', 'link', 'show', 'peer0'], { encoding: 'utf8' })
  const [link] = JSON.parse(listing) as { ifindex: number; address: string }[]
  return new Blaster(link!.ifindex, parseMac(link!.address), parseMac(mac), flows)
}

function reply(message: FromBlaster): void {
  process.send!(message)
}

enterOwnNetworkNamespace()
let blaster: Blaster | undefined
process.on('disconnect', () => process.exit())
process.on('message', (message: ToBlaster) => {
  if (message.type === 'blast') {
    reply({ type: 'blasted', count: blaster!.blast(message.forMs) })
    return
  }
  blaster = plugIn(message.mac, message.flows)
  void blaster.open().then(() => reply({ type: 'opened' }))
})
reply({ type: 'born' })
