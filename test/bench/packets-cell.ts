/**
 * One cell of the packets benchmark: a fresh engine, a blaster, a way to forward, a number of flows. Frames are counted
 * at every place where they can go; a cell whose sum does not come out is refused.
 *
 *   blaster ──▶ peer0 ═ eth0 ──tc──▶ dpr0 ──▶ worker ──┬─ mac, ipip ──▶ eth0 ═ peer0: nobody's MAC, ignored
 *      │ refused                       │ queue full    ├─ local ──▶ dpr0 ──▶ the stack, dropped by nft, counted
 *      ▼                               ▼               └─ dropped by the engine, counted by reason
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Child } from './child.ts'
import type {
  BlastCount,
  EngineSample,
  FromBlaster,
  FromEngine,
  PacketMode,
  ToBlaster,
  ToEngine,
} from './packets-messages.ts'

/** Before the window, for caches and the compiler; after it, so that the blaster outlasts the window. */
const RAMP_MS = 500
const TAIL_MS = 200
const ANSWER_MS = 10_000
const QUIET_MS = 50
const QUIET_DEADLINE_MS = 5_000
/** Strays that may be counted on an interface besides ours, such as an ARP request: none is expected. */
const STRAYS_MAX = 16

export interface CellSpec {
  mode: PacketMode
  flows: number
  windowMs: number
}

/** Everything from the quiet before the blast to the quiet after it, and the two ends of the window within. */
export interface CellRun {
  before: EngineSample
  windowStart: EngineSample
  windowEnd: EngineSample
  after: EngineSample
  blast: BlastCount
}

export interface CellFigures {
  offeredPerSecond: number
  forwardedPerSecond: number
  /** Of what the blaster sent: the share that found the device's queue full. */
  deviceDropShare: number
  /** Share of the window that the worker was on a core; that it wanted one and had none. */
  workerShare: number
  waitShare: number
  cpuNsPerPacket: number
}

type EngineChild = Child<ToEngine, FromEngine>
type BlasterChild = Child<ToBlaster, FromBlaster>

export async function runCell(spec: CellSpec, signal: AbortSignal): Promise<CellRun> {
  const blaster: BlasterChild = new Child('packets-blaster-main', signal)
  const engine: EngineChild = new Child('packets-engine-main', signal)
  try {
    await blaster.receive('born', ANSWER_MS)
    const setup = { type: 'setup', mode: spec.mode, blasterPid: blaster.pid } as const
    const { mac } = await engine.ask(setup, 'ready', ANSWER_MS)
    await blaster.ask({ type: 'open', mac, flows: spec.flows }, 'opened', ANSWER_MS)
    const before = await quiet(engine, signal)
    if (before.flowEntries !== spec.flows) {
      throw new Error(`the engine knows ${before.flowEntries} flows after ${spec.flows} were opened`)
    }
    const blasted = blaster.ask(
      { type: 'blast', forMs: RAMP_MS + spec.windowMs + TAIL_MS },
      'blasted',
      spec.windowMs + ANSWER_MS,
    )
    // It is awaited below; until then a failure must not end the process.
    blasted.catch(() => undefined)
    await sleep(RAMP_MS, undefined, { signal })
    const windowStart = await sampleOf(engine, false)
    await sleep(spec.windowMs, undefined, { signal })
    const windowEnd = await sampleOf(engine, false)
    const { count: blast } = await blasted
    return { before, windowStart, windowEnd, after: await quiet(engine, signal), blast }
  } finally {
    await Promise.all([blaster.end(), engine.end()])
  }
}

async function sampleOf(engine: EngineChild, links: boolean): Promise<EngineSample> {
  return (await engine.ask({ type: 'sample', links }, 'sample', ANSWER_MS)).sample
}

/** Waits until no packet moves any more, and counts everything then. */
async function quiet(engine: EngineChild, signal: AbortSignal): Promise<EngineSample> {
  const deadline = performance.now() + QUIET_DEADLINE_MS
  for (let last = -1; ;) {
    const decided = decidedPackets(await sampleOf(engine, false))
    if (decided === last) return sampleOf(engine, true)
    if (performance.now() > deadline) throw new Error('packets still arrive though nobody sends any')
    last = decided
    await sleep(QUIET_MS, undefined, { signal })
  }
}

/** Counted once a second from the device's own statistics, which are read here without that delay. */
const DEVICE_DROP = 'device-queue-full'

/** Losses after the verdict: the packet is counted as local, mac or ipip as well. */
const SENDING_DROPS: ReadonlySet<string> = new Set([
  'send-queue-full',
  'send-failed',
  'local-write-failed',
  'mtu-exceeded',
  'vnet-header',
])

function sendingDrops({ drops }: EngineSample): number {
  return sum(drops, (reason) => SENDING_DROPS.has(reason))
}

/** Verdicts: the core refused the packet. */
function refusals({ drops }: EngineSample): number {
  return sum(drops, (reason) => !SENDING_DROPS.has(reason) && reason !== DEVICE_DROP)
}

function sum(drops: Readonly<Record<string, number>>, which: (reason: string) => boolean): number {
  return Object.entries(drops).reduce((total, [reason, count]) => total + (which(reason) ? count : 0), 0)
}

/** Packets that the worker has read. */
function decidedPackets(sample: EngineSample): number {
  const { packetsLocal, packetsMac, packetsIpip, packetsHeld } = sample
  return packetsLocal + packetsMac + packetsIpip + packetsHeld + refusals(sample)
}

/** Packets that went the way they should and were not lost on leaving. */
function forwardedPackets(mode: PacketMode, sample: EngineSample): number {
  const packets = { mac: sample.packetsMac, ipip: sample.packetsIpip, local: sample.packetsLocal }[mode]
  return packets - sendingDrops(sample)
}

/** Why this run is no measurement; empty if every frame is accounted for. */
export function cellProblems({ mode }: Pick<CellSpec, 'mode'>, { before, after, blast }: CellRun): string[] {
  const grown = (value: (sample: EngineSample) => number): number => value(after) - value(before)
  const read = grown(decidedPackets)
  const forwarded = grown((sample) => forwardedPackets(mode, sample))
  const refused = grown(refusals)
  const deviceDropped = grown(({ links }) => links!.device.txDropped)
  const lostOnLeaving = grown(sendingDrops)
  /** A raw socket reports success although the interface had no room. */
  const leftOnEth0 = grown(({ links }) => links!.eth0.txPackets + (mode === 'ipip' ? links!.eth0.txDropped : 0))
  const arrived = mode === 'local' ? grown(({ links }) => links!.deliveredPackets) : leftOnEth0
  const problems: string[] = []
  const equal = (what: string, a: number, b: number): void => {
    if (Math.abs(a - b) > STRAYS_MAX) problems.push(`${what}: ${a} against ${b}`)
  }
  equal('sent against read or dropped at the device', blast.sent, read + deviceDropped)
  equal('read against forwarded', read, forwarded + lostOnLeaving)
  equal(mode === 'local' ? 'forwarded against delivered' : 'forwarded against left on eth0', forwarded, arrived)
  if (refused > 0) problems.push(`the engine refused ${refused} packets of known flows`)
  if (forwarded <= 0) problems.push('nothing was forwarded')
  return problems
}

/** @throws RangeError from a run in which nothing was forwarded */
export function cellFigures({ mode }: Pick<CellSpec, 'mode'>, run: CellRun): CellFigures {
  const { windowStart, windowEnd, before, after, blast } = run
  const windowMs = windowEnd.atMs - windowStart.atMs
  const forwarded = forwardedPackets(mode, windowEnd) - forwardedPackets(mode, windowStart)
  if (forwarded <= 0) throw new RangeError('nothing was forwarded')
  const lost = mode === 'ipip' ? after.links!.eth0.txDropped - before.links!.eth0.txDropped : 0
  const left = forwardedPackets(mode, after) - forwardedPackets(mode, before)
  const cpuMs = windowEnd.workerCpuMs - windowStart.workerCpuMs
  return {
    offeredPerSecond: ((blast.sent + blast.refused) / blast.tookMs) * 1_000,
    forwardedPerSecond: (forwarded / windowMs) * 1_000 * (1 - lost / left),
    deviceDropShare: (after.links!.device.txDropped - before.links!.device.txDropped) / blast.sent,
    workerShare: cpuMs / windowMs,
    waitShare: (windowEnd.workerWaitMs - windowStart.workerWaitMs) / windowMs,
    cpuNsPerPacket: (cpuMs * 1e6) / forwarded,
  }
}
