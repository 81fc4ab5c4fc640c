/**
 * The tun engine's packet loop: read a batch of frames from the TAP, let the core decide, write. System calls
 * dominate, so frames leave in batches (sendmmsg) and super-packets stay whole wherever the way allows it.
 *
 *   slot:  [ headroom 64 | vnet header 10 | Ethernet 14 | IP packet … 65,535 ]
 *
 * A frame is changed in place and sent from the slot in which it was read: nothing is copied but the headers of cut
 * segments. Slots are reused only after the batch was flushed.
 */
import { decrementTtl } from '../packet/checksum.ts'
import { put16, put32 } from '../packet/bytes.ts'
import { OUTER_HEADER_BYTES, writeOuterHeader } from '../packet/ipip.ts'
import {
  completeChecksum,
  fragmentPayloadBytes,
  segmentCount,
  writeFragmentationNeeded,
  writeFragmentHeader,
  writeSegmentHeader,
} from '../packet/segment.ts'
import { type RewritingCore, VERDICT_DROP, VERDICT_HOLD, VERDICT_LOCAL, VERDICT_MAC } from '../core.ts'
import { COUNTER, DROP } from '../counters.ts'
import * as libc from '../linux/libc.ts'
import * as vnet from '../linux/vnet-header.ts'
import { SendBatch } from './send-batch.ts'

const BATCH_FRAMES = 64
const HEADROOM_BYTES = 64
const ETHERNET_BYTES = 14
const PACKET_BYTES_MAX = 65_535
const VNET_AT = HEADROOM_BYTES
const FRAME_AT = VNET_AT + vnet.VNET_HEADER_BYTES
const IP_AT = FRAME_AT + ETHERNET_BYTES
const READ_BYTES_MAX = vnet.VNET_HEADER_BYTES + ETHERNET_BYTES + PACKET_BYTES_MAX
const SLOT_BYTES = Math.ceil((VNET_AT + READ_BYTES_MAX) / 64) * 64
const ETHERTYPE_IPV4_HIGH = 0x08

/** struct sockaddr_ll and struct sockaddr_in. */
const SOCKADDR_LL_BYTES = 20
const SOCKADDR_IN_BYTES = 16

/** Cut headers: outer IP + inner IP with options + TCP with options, or a whole ICMP error. */
const CUT_BYTES = 640
const CUTS_MAX = 1_024
/** ICMP errors are at most this many a second (RFC 1812, 4.3.2.8). */
const ICMP_PER_SECOND = 100

export interface PacketLoopOptions {
  core: RewritingCore
  values: Float64Array
  tapFd: number
  tapMac: Uint8Array
  /** Packet socket with PACKET_VNET_HDR. */
  packetFd: number
  /** Raw IP socket with IP_HDRINCL. */
  rawFd: number
  /** Own MAC by interface index. */
  macOfInterface: ReadonlyMap<number, Uint8Array>
  /** Outer source of IPIP and source of ICMP errors. */
  nodeAddress: number
}

export class PacketLoop {
  readonly #core: RewritingCore
  readonly #values: Float64Array
  readonly #tapFd: number
  readonly #tapMac: Uint8Array
  readonly #packetFd: number
  readonly #rawFd: number
  readonly #macOfInterface: ReadonlyMap<number, Uint8Array>
  readonly #nodeAddress: number

  readonly #memory = new libc.NativeMemory(BATCH_FRAMES * SLOT_BYTES)
  readonly #slots: Uint8Array[]
  readonly #cutMemory = new libc.NativeMemory(CUTS_MAX * CUT_BYTES)
  readonly #cuts = this.#cutMemory.bytes
  readonly #macBatch = new SendBatch(BATCH_FRAMES, SOCKADDR_LL_BYTES)
  readonly #rawBatch = new SendBatch(CUTS_MAX, SOCKADDR_IN_BYTES)
  #cutCount = 0
  #outerId = 1
  #icmpTokens = ICMP_PER_SECOND
  #icmpRefilledMs = 0

  constructor(options: PacketLoopOptions) {
    this.#core = options.core
    this.#values = options.values
    this.#tapFd = options.tapFd
    this.#tapMac = options.tapMac
    this.#packetFd = options.packetFd
    this.#rawFd = options.rawFd
    this.#macOfInterface = options.macOfInterface
    this.#nodeAddress = options.nodeAddress
    const { bytes } = this.#memory
    this.#slots = Array.from({ length: BATCH_FRAMES }, (_, i) => bytes.subarray(i * SLOT_BYTES, (i + 1) * SLOT_BYTES))
  }

  /**
   * Reads and handles at most one batch.
   * @returns frames handled; fewer than a batch means that none is left
   */
  run(nowMs: number): number {
    let frames = 0
    while (frames < BATCH_FRAMES) {
      const slotAddress = this.#memory.address + frames * SLOT_BYTES
      const length = libc.read(this.#tapFd, slotAddress + VNET_AT, READ_BYTES_MAX)
      if (length <= 0) break
      this.#frame(this.#slots[frames]!, slotAddress, length - vnet.VNET_HEADER_BYTES, nowMs)
      frames++
    }
    this.#flush()
    return frames
  }

  #frame(slot: Uint8Array, slotAddress: number, frameBytes: number, nowMs: number): void {
    const core = this.#core
    if (frameBytes < ETHERNET_BYTES) {
      this.#values[DROP['frame-short']]!++
      return
    }
    // What else the kernel sends to its own device (ARP, say) is no packet of a client.
    if (slot[FRAME_AT + 12] !== ETHERTYPE_IPV4_HIGH || slot[FRAME_AT + 13] !== 0) return
    const fromMember = core.routing.isMemberMac(slot, FRAME_AT + 6)
    const checksumKnown = (vnet.vnetFlags(slot, VNET_AT) & (vnet.NEEDS_CSUM | vnet.DATA_VALID)) !== 0
    const verdict = core.decide(slot, IP_AT, frameBytes - ETHERNET_BYTES, fromMember, checksumKnown, nowMs)
    if (verdict === VERDICT_LOCAL) this.#local(slot, slotAddress, frameBytes)
    else if (verdict === VERDICT_MAC) this.#mac(slot, slotAddress, frameBytes)
    else if (verdict !== VERDICT_DROP && verdict !== VERDICT_HOLD) this.#ipip(slot, slotAddress, nowMs)
  }

  /** Into the host's own stack, as if the frame had arrived on the TAP. */
  #local(slot: Uint8Array, slotAddress: number, frameBytes: number): void {
    const stripped = this.#core.stripped
    if (stripped > 0) {
      slot.copyWithin(VNET_AT + stripped, VNET_AT, IP_AT)
      vnet.shiftVnetHeader(slot, VNET_AT + stripped, stripped)
    }
    slot.set(this.#tapMac, FRAME_AT + stripped)
    const from = slotAddress + VNET_AT + stripped
    const bytes = vnet.VNET_HEADER_BYTES + frameBytes - stripped
    if (libc.write(this.#tapFd, from, bytes) !== bytes) this.#values[DROP['local-write-failed']]!++
  }

  /** The same packet with another Ethernet destination. */
  #mac(slot: Uint8Array, slotAddress: number, frameBytes: number): void {
    const { routing, member } = this.#core
    const ifindex = routing.ifindex[member]!
    const ownMac = this.#macOfInterface.get(ifindex)
    if (ownMac === undefined) {
      this.#values[DROP['destination-gone']]!++
      return
    }
    for (let i = 0; i < 6; i++) slot[FRAME_AT + i] = routing.mac[member * 6 + i]!
    slot.set(ownMac, FRAME_AT + 6)
    slot[VNET_AT] = slot[VNET_AT]! & vnet.NEEDS_CSUM
    const batch = this.#macBatch
    const at = batch.count * SOCKADDR_LL_BYTES
    batch.addresses[at] = libc.AF_PACKET
    batch.addresses[at + 2] = 0x08
    batch.addresses[at + 3] = 0x00
    batch.addresses[at + 4] = ifindex
    batch.addresses[at + 5] = ifindex >>> 8
    batch.addresses[at + 6] = ifindex >>> 16
    batch.addresses[at + 7] = ifindex >>> 24
    batch.addresses[at + 11] = 6
    batch.add(slotAddress + VNET_AT, vnet.VNET_HEADER_BYTES + frameBytes)
  }

  /** In an outer header to the member's node address; cut or refused when it does not fit. */
  #ipip(slot: Uint8Array, slotAddress: number, nowMs: number): void {
    const { view, routing, member } = this.#core
    const innerMtu = routing.mtu[member]! - OUTER_HEADER_BYTES
    const isSuper = vnet.vnetGsoType(slot, VNET_AT) === vnet.GSO_TCPV4
    if (!isSuper && vnet.vnetGsoType(slot, VNET_AT) !== vnet.GSO_NONE) {
      this.#values[DROP['vnet-header']]!++
      return
    }
    const headerBytes = view.headerBytes + view.tcpHeaderBytes
    const gsoBytes = isSuper ? vnet.vnetGsoSize(slot, VNET_AT) : 0
    if (isSuper && (gsoBytes === 0 || view.tcpHeaderBytes === 0)) {
      this.#values[DROP['vnet-header']]!++
      return
    }
    const largest = isSuper ? Math.min(view.totalBytes, headerBytes + gsoBytes) : view.totalBytes
    if (largest > innerMtu && view.dontFragment) {
      this.#fragmentationNeeded(slot, innerMtu, nowMs)
      return
    }
    decrementTtl(slot, view.offset)
    if (isSuper && view.totalBytes > innerMtu) {
      this.#segments(slot, slotAddress, Math.min(gsoBytes, innerMtu - headerBytes))
      return
    }
    if ((vnet.vnetFlags(slot, VNET_AT) & vnet.NEEDS_CSUM) !== 0) {
      const start = FRAME_AT + vnet.vnetChecksumStart(slot, VNET_AT)
      const field = start + vnet.vnetChecksumOffset(slot, VNET_AT)
      const end = view.offset + view.totalBytes
      if (start < view.offset + view.headerBytes || field + 2 > end) {
        this.#values[DROP['vnet-header']]!++
        return
      }
      completeChecksum(slot, start, field, end)
    }
    if (view.totalBytes > innerMtu) {
      this.#fragments(slot, slotAddress, innerMtu)
      return
    }
    const outerAt = view.offset - OUTER_HEADER_BYTES
    this.#outer(slot, outerAt, view.totalBytes)
    this.#addressRaw(routing.address[member]!)
    this.#rawBatch.add(slotAddress + outerAt, view.totalBytes + OUTER_HEADER_BYTES)
  }

  #segments(slot: Uint8Array, slotAddress: number, gsoBytes: number): void {
    const { view } = this.#core
    const headerBytes = view.headerBytes + view.tcpHeaderBytes
    const count = segmentCount(view, gsoBytes)
    for (let i = 0; i < count; i++) {
      const at = this.#nextCut()
      writeSegmentHeader(slot, view, gsoBytes, i, this.#cuts, at + OUTER_HEADER_BYTES)
      const start = i * gsoBytes
      this.#cut(
        at,
        headerBytes,
        slotAddress + view.offset + headerBytes + start,
        Math.min(gsoBytes, view.tcpPayloadBytes - start),
      )
    }
  }

  /** DF is clear: the inner packet is fragmented, since nobody reassembles outer fragments for the receiver. */
  #fragments(slot: Uint8Array, slotAddress: number, innerMtu: number): void {
    const { view } = this.#core
    const payloadMax = fragmentPayloadBytes(view, innerMtu)
    const whole = view.totalBytes - view.headerBytes
    for (let i = 0; i * payloadMax < whole; i++) {
      const at = this.#nextCut()
      writeFragmentHeader(slot, view, payloadMax, i, this.#cuts, at + OUTER_HEADER_BYTES)
      const start = i * payloadMax
      this.#cut(
        at,
        view.headerBytes,
        slotAddress + view.offset + view.headerBytes + start,
        Math.min(payloadMax, whole - start),
      )
    }
  }

  /** Queues one cut piece: headers in the cut memory, payload where it was read. */
  #cut(at: number, headerBytes: number, payloadAddress: number, payloadBytes: number): void {
    const { routing, member } = this.#core
    this.#outer(this.#cuts, at, headerBytes + payloadBytes)
    this.#addressRaw(routing.address[member]!)
    this.#rawBatch.add(this.#cutMemory.address + at, OUTER_HEADER_BYTES + headerBytes, payloadAddress, payloadBytes)
  }

  #fragmentationNeeded(slot: Uint8Array, mtu: number, nowMs: number): void {
    const { view } = this.#core
    this.#values[DROP['mtu-exceeded']]!++
    const refill = ((nowMs - this.#icmpRefilledMs) / 1_000) * ICMP_PER_SECOND
    this.#icmpTokens = Math.min(ICMP_PER_SECOND, this.#icmpTokens + Math.max(0, refill))
    this.#icmpRefilledMs = nowMs
    if (this.#icmpTokens < 1) return
    this.#icmpTokens--
    this.#values[COUNTER.icmpSent]!++
    const at = this.#nextCut()
    const bytes = writeFragmentationNeeded(slot, view, mtu, this.#nodeAddress, this.#cuts, at)
    this.#addressRaw(view.source)
    this.#rawBatch.add(this.#cutMemory.address + at, bytes)
  }

  #outer(bytes: Uint8Array, at: number, innerBytes: number): void {
    const { view, routing, member } = this.#core
    this.#outerId = (this.#outerId % 0xffff) + 1
    writeOuterHeader(
      bytes,
      at,
      innerBytes,
      view.tos,
      view.dontFragment,
      this.#outerId,
      this.#nodeAddress,
      routing.address[member]!,
    )
  }

  /** Room for one more cut piece; a full batch leaves first. */
  #nextCut(): number {
    if (this.#cutCount === CUTS_MAX || this.#rawBatch.full) this.#flush()
    return this.#cutCount++ * CUT_BYTES
  }

  #addressRaw(destination: number): void {
    const batch = this.#rawBatch
    if (batch.full) this.#flush()
    const at = batch.count * SOCKADDR_IN_BYTES
    put16(batch.addresses, at, libc.AF_INET << 8)
    put32(batch.addresses, at + 4, destination)
  }

  #flush(): void {
    if (this.#macBatch.count > 0) this.#send(this.#macBatch, this.#packetFd)
    if (this.#rawBatch.count > 0) this.#send(this.#rawBatch, this.#rawFd)
    this.#cutCount = 0
  }

  #send(batch: SendBatch, fd: number): void {
    batch.flush(fd)
    if (batch.queueFull > 0) this.#values[DROP['send-queue-full']]! += batch.queueFull
    if (batch.failed > 0) this.#values[DROP['send-failed']]! += batch.failed
    batch.queueFull = 0
    batch.failed = 0
  }
}
