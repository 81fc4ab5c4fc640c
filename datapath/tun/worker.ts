/**
 * The tun engine's worker thread. It blocks in poll(2) on the TAP, the ARP sockets and an eventfd, and never returns to
 * the event loop: the control plane's garbage and its callbacks delay no packet.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { Announcer } from '../announcer.ts'
import { RewritingCore } from '../core.ts'
import { COUNTER, DROP, sharedCounters } from '../counters.ts'
import { DatapathError } from '../errors.ts'
import { droppedByDevice } from '../linux/device-drops.ts'
import { gatewaysOf } from '../linux/gateways.ts'
import * as libc from '../linux/libc.ts'
import { sipKey } from '../siphash.ts'
import { ArpSocket, socketError } from './arp-socket.ts'
import { exportFlows, importFlows } from './flow-transfer.ts'
import type { FromWorker, ToWorker, WorkerSetup } from './messages.ts'
import { PacketLoop } from './packet-loop.ts'
import { openTap } from './tap.ts'

/** Longest sleep without a packet while something can fall due: flows that expire, a lease that may be renewed. */
const POLL_MS = 50
/** Longest sleep while nothing can but an announcement, whose time is known. */
const IDLE_POLL_MS = 250
/** Housekeeping (expiry, counts) at least this often under load. */
const TICK_MS = 5
/** How often the kernel is asked what it dropped before we could read it, while there is something to read. */
const DEVICE_DROPS_MS = 1_000
const SEND_BUFFER_BYTES = 8 * 1024 * 1024
const POLLFD_BYTES = 8

interface ArpLink {
  socket: ArpSocket
  announcer: Announcer
}

const setup = workerData as WorkerSetup
const shared = sharedCounters(setup.shared)
const values = shared.values

/** Descriptors to close, in order. */
const descriptors: number[] = []

function reply(message: FromWorker): void {
  parentPort!.postMessage(message)
}

function openSocket(domain: number, protocol: number, what: string): number {
  const fd = libc.socket(domain, libc.SOCK_RAW | libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC, protocol)
  if (fd < 0) throw socketError(what, libc.errno())
  descriptors.push(fd)
  setOption(fd, libc.SOL_SOCKET, libc.SO_SNDBUFFORCE, SEND_BUFFER_BYTES)
  return fd
}

const optionValue = new libc.NativeMemory(4)

function setOption(fd: number, level: number, name: number, value: number): number {
  optionValue.view.setInt32(0, value, true)
  return libc.setsockopt(fd, level, name, optionValue.address, 4)
}

function openAll(): { core: RewritingCore; loop: PacketLoop; arp: ArpLink[]; tapFd: number } {
  const tap = openTap(setup.device)
  descriptors.push(tap.fd)
  const packetFd = openSocket(libc.AF_PACKET, 0, 'a packet socket')
  if (setOption(packetFd, libc.SOL_PACKET, libc.PACKET_VNET_HDR, 1) < 0) {
    throw socketError('a packet socket with PACKET_VNET_HDR', libc.errno())
  }
  const rawFd = openSocket(libc.AF_INET, libc.IPPROTO_RAW, 'a raw IP socket')
  const core = new RewritingCore({
    flowTableEntries: setup.flowTableEntries,
    key: sipKey(setup.hashKey),
    ownAddresses: setup.links.map(({ address }) => address),
    shared,
  })
  const loop = new PacketLoop({
    core,
    values,
    tapFd: tap.fd,
    tapMac: tap.mac,
    packetFd,
    rawFd,
    macOfInterface: new Map(setup.links.map(({ ifindex, mac }) => [ifindex, mac])),
    nodeAddress: setup.links[0]!.address,
  })
  const arp = setup.links.map((link) => {
    const socket = new ArpSocket(link.ifindex)
    descriptors.push(socket.fd)
    const gateways = gatewaysOf(link.name)
    const announcer = new Announcer({ mac: link.mac, address: link.address, gateways }, setup.announce)
    return { socket, announcer }
  })
  return { core, loop, arp, tapFd: tap.fd }
}

function runUntilClosed({ core, loop, arp, tapFd }: ReturnType<typeof openAll>): void {
  const pollFds = new libc.NativeMemory(POLLFD_BYTES * (arp.length + 2))
  const wakeCount = new libc.NativeMemory(8)
  const watched = [tapFd, setup.wakeFd, ...arp.map(({ socket }) => socket.fd)]
  for (const [i, fd] of watched.entries()) {
    pollFds.view.setInt32(i * POLLFD_BYTES, fd, true)
    pollFds.view.setInt16(i * POLLFD_BYTES + 4, libc.POLLIN, true)
  }
  const ready = (i: number): boolean => pollFds.view.getInt16(i * POLLFD_BYTES + 6, true) !== 0

  let tickedMs = 0
  let deviceDropsMs = 0
  let batchesThen = 0
  let wasFresh = false
  /** A message waits for the next tick to take effect. */
  let isTickDue = false
  let sleepMs = 0
  for (;;) {
    libc.poll(pollFds.address, watched.length, sleepMs)
    const nowMs = libc.boottimeMs()
    values[COUNTER.heartbeatMs] = nowMs
    if (ready(1)) {
      libc.read(setup.wakeFd, wakeCount.address, 8)
      if (!handleMessages(core, nowMs)) return
      isTickDue = true
    }
    core.leaseFresh = nowMs <= values[COUNTER.leaseUntilMs]!
    if (ready(0)) {
      values[COUNTER.batches]!++
      loop.run(nowMs)
    }
    const mayAnnounce = core.leaseFresh && core.routing.version > 0
    for (const [i, link] of arp.entries()) if (ready(i + 2)) answerArp(link, mayAnnounce, nowMs)
    if (nowMs - tickedMs < TICK_MS) {
      sleepMs = isTickDue ? TICK_MS : POLL_MS
      continue
    }
    tickedMs = nowMs
    isTickDue = false
    sleepMs = POLL_MS
    core.tick(nowMs)
    if (nowMs - deviceDropsMs >= DEVICE_DROPS_MS && values[COUNTER.batches] !== batchesThen) {
      deviceDropsMs = nowMs
      batchesThen = values[COUNTER.batches]!
      values[DROP['device-queue-full']] = droppedByDevice(setup.device)
    }
    if (!mayAnnounce) {
      wasFresh = false
      continue
    }
    for (const { socket, announcer } of arp) {
      announcer.update(core.routing.announced, nowMs)
      if (!wasFresh) announcer.restart(nowMs)
      for (const frame of announcer.due(nowMs)) if (socket.send(frame)) values[COUNTER.arpAnnouncements]!++
    }
    wasFresh = true
    if (core.flows.entries === 0) sleepMs = untilAnnouncement(arp, nowMs)
  }
}

function untilAnnouncement(arp: readonly ArpLink[], nowMs: number): number {
  let untilMs = IDLE_POLL_MS
  for (const { announcer } of arp) untilMs = Math.min(untilMs, announcer.nextMs() - nowMs)
  return Math.max(1, Math.ceil(untilMs))
}

function answerArp({ socket, announcer }: ArpLink, mayAnnounce: boolean, nowMs: number): void {
  for (let frame = socket.receive(); frame !== undefined; frame = socket.receive()) {
    if (!mayAnnounce) continue
    const { answer, conflict } = announcer.receive(frame, nowMs)
    if (conflict) values[COUNTER.arpConflicts]!++
    if (answer !== undefined && socket.send(answer)) values[COUNTER.arpAnswers]!++
  }
}

/** @returns false when the worker shall end */
function handleMessages(core: RewritingCore, nowMs: number): boolean {
  for (;;) {
    const received = receiveMessageOnPort(parentPort!)
    if (received === undefined) return true
    const message = received.message as ToWorker
    switch (message.type) {
      case 'publish':
        core.publish(message.snapshot, nowMs)
        break
      case 'local-established':
        core.correctLocalEstablished(message.count)
        break
      case 'export': {
        const flows = exportFlows(core.flows, core.routing.self, message.limit)
        reply({ type: 'exported', request: message.request, flows })
        break
      }
      case 'import': {
        const taken = importFlows(core.flows, core.routing, message.flows, nowMs)
        reply({ type: 'imported', request: message.request, taken })
        break
      }
      case 'close':
        return false
    }
  }
}

try {
  const opened = openAll()
  reply({ type: 'ready' })
  runUntilClosed(opened)
} catch (error) {
  if (!(error instanceof DatapathError)) throw error
  reply({ type: 'refused', code: error.code, message: error.message, remedy: error.remedy })
} finally {
  for (const fd of descriptors) libc.close(fd)
}
