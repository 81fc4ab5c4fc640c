/**
 * Nanoseconds of CPU time per packet of the rewriting decision alone (datapath/core.ts): no device, no system call. One
 * packet buffer is written again and again, as the engine's slots are, so that it lies in the cache as a packet that
 * was just read does; the flow table does not, and shows what that costs.
 */
import { RewritingCore, VERDICT_IPIP, VERDICT_LOCAL, VERDICT_MAC } from '../../datapath/core.ts'
import { COUNTER, sharedCounters, sharedCountersBuffer } from '../../datapath/counters.ts'
import { FLOW_TIMEOUT_MS, HALF_OPEN } from '../../datapath/flow-table.ts'
import { formatIpv4, parseIpv4, put16 } from '../../datapath/packet/bytes.ts'
import { sipKey } from '../../datapath/siphash.ts'
import { B, C, member, P1, SELF, tableOf } from '../datapath/core-harness.ts'
import { tcpPacket } from '../datapath/packets.ts'
import { DEFAULTS } from '../../node/defaults.ts'
import { count } from './report.ts'
import type { BenchResult, Row } from './report.ts'
import type { RunContext } from './run-context.ts'
import { pause } from './run-context.ts'
import { median } from './statistics.ts'

const ROUNDS = 9
/** Rounds before that, for the compiler. */
const WARM_UPS = 3
const PACKETS = 500_000
/** Below the quarter of the table that half-open flows may take, so that none has to give way to another. */
const SYNS = 200_000
const MANY_FLOWS = 1_000_000
const HALF_OPEN_MS = FLOW_TIMEOUT_MS[HALF_OPEN]!

/** Flow number → client address and port; an IP header per client, its checksum made once. */
const PORTS = 62_500
const FIRST_PORT = 1_024
const FIRST_CLIENT = parseIpv4('10.9.0.1')
const CLIENTS = MANY_FLOWS / PORTS
const SLOT_BYTES = 128
const IP_AT = 34
const TCP_AT = IP_AT + 20
const PACKET_BYTES = 40

interface Case {
  name: string
  /** SYN: each flow once a round. ACK: flows at random. */
  flags: 'S' | 'A'
  flows: number
  packets: number
  /** Where the ring sends new flows; empty: they stay. */
  ring: readonly number[]
  verdict: number
  /** Whether the flows are opened before. */
  known: boolean
}

const ACK = { flags: 'A', packets: PACKETS } as const
const CASES: readonly Case[] = [
  { name: 'known flow, mac, 1 flow', ...ACK, flows: 1, ring: [B], verdict: VERDICT_MAC, known: true },
  { name: 'known flow, mac, 1,000,000 flows', ...ACK, flows: MANY_FLOWS, ring: [B], verdict: VERDICT_MAC, known: true },
  { name: 'known flow, ipip, 1 flow', ...ACK, flows: 1, ring: [C], verdict: VERDICT_IPIP, known: true },
  {
    name: 'SYN of a new flow, mac',
    flags: 'S',
    packets: SYNS,
    flows: SYNS,
    ring: [B],
    verdict: VERDICT_MAC,
    known: false,
  },
  { name: 'orphan, stays local', ...ACK, flows: MANY_FLOWS, ring: [B], verdict: VERDICT_LOCAL, known: false },
]

export interface CoreRaw {
  name: string
  nsPerPacket: number[]
  /** Of every verdict of every round; the same in each round. */
  verdictSums: number[]
  /** What the loop costs without the decision, ns per packet. */
  loopNs: number
  problems: string[]
}

export async function benchCore(context: RunContext): Promise<BenchResult> {
  const raw: CoreRaw[] = []
  for (const spec of CASES) {
    // Lets signals in: a case blocks for seconds.
    await pause(context, 1)
    raw.push(measure(spec))
    context.say(`  ${spec.name}: ${median(raw.at(-1)!.nsPerPacket).toFixed(0)} ns`)
  }
  const loop = median(raw.map(({ loopNs }) => loopNs))
  const section = {
    title: 'Rewriting decision alone',
    how:
      `CPU time, median of ${ROUNDS} rounds of ${count(PACKETS)} packets (SYNs: ${count(SYNS)}, TCP checksum verified); many flows ` +
      'are drawn uniformly at random.',
    columns: ['median', 'min', 'max'],
    rows: raw.map(rowOf),
    remarks: [`choosing a flow and writing its port is in every figure: ${loop.toFixed(1)} ns`],
  }
  return { sections: [section], raw }
}

function rowOf({ name, nsPerPacket, problems }: CoreRaw): Row {
  if (problems.length > 0) return { name, refused: problems }
  const show = (value: number): string => `${value.toFixed(0)} ns`
  return {
    name,
    cells: [show(median(nsPerPacket)), show(Math.min(...nsPerPacket)), show(Math.max(...nsPerPacket))],
  }
}

function measure(spec: Case): CoreRaw {
  const bench = new CoreBench(spec)
  const raw: CoreRaw = { name: spec.name, nsPerPacket: [], verdictSums: [], loopNs: 0, problems: [] }
  for (let round = -WARM_UPS; round < ROUNDS; round++) {
    bench.prepare()
    const startedUs = cpuUs()
    const verdicts = bench.round()
    const tookUs = cpuUs() - startedUs
    raw.problems.push(...bench.problems(verdicts))
    if (round < 0) continue
    raw.nsPerPacket.push((tookUs * 1e3) / spec.packets)
    raw.verdictSums.push(verdicts)
  }
  for (let round = -WARM_UPS; round <= 0; round++) {
    const startedUs = cpuUs()
    if (bench.loopAlone() === 0) raw.problems.push('the loop wrote nothing')
    raw.loopNs = ((cpuUs() - startedUs) * 1e3) / spec.packets
  }
  return { ...raw, problems: [...new Set(raw.problems)] }
}

class CoreBench {
  readonly #spec: Case
  readonly #shared = sharedCounters(sharedCountersBuffer())
  readonly #core: RewritingCore
  readonly #syns = templates('S')
  readonly #acks = templates('A')
  #nowMs = 1_000
  #counted = 0

  constructor(spec: Case) {
    this.#spec = spec
    this.#core = new RewritingCore({
      flowTableEntries: DEFAULTS.flowTableEntries,
      key: sipKey(new Uint8Array(16).fill(7)),
      ownAddresses: [parseIpv4('10.1.0.1')],
      shared: this.#shared,
    })
    const snapshot = {
      version: 1,
      self: SELF,
      members: [
        member('a', '10.1.0.1', { mode: 'self' as const }),
        member('b', '10.1.0.2'),
        member('c', '10.2.0.1', { mode: 'ipip' as const, ifindex: 0, mac: new Uint8Array(6), macs: [] }),
      ],
      addresses: [{ address: parseIpv4(P1), role: 'announcer' as const, orphans: { do: 'local' as const } }],
      services: [{ protocol: 6 as const, port: 80, table: 0 }],
      tables: [tableOf({ ring: Uint16Array.from(spec.ring) })],
      leaseUntilMs: Infinity,
    }
    this.#core.publish(snapshot, this.#nowMs)
    if (!spec.known) return
    for (let first = 0; first < spec.flows; first += SYNS) {
      const end = Math.min(first + SYNS, spec.flows)
      this.#each(this.#syns, first, end)
      this.#each(this.#acks, first, end)
    }
  }

  /** Between rounds: flows that SYNs have opened expire, untimed, so that each round finds none. */
  prepare(): void {
    if (this.#spec.flags === 'S') {
      // Young flows become half-open first, and wait from then on.
      for (; this.#core.flows.entries > 0; this.#nowMs += HALF_OPEN_MS) this.#core.tick(this.#nowMs)
    }
    this.#counted = this.#count()
  }

  /** @returns sum of the verdicts */
  round(): number {
    const { flags, flows, packets } = this.#spec
    return flags === 'S' ? this.#each(this.#syns, 0, packets) : this.#random(flows, packets)
  }

  /** Why a round is no measurement. */
  problems(verdicts: number): string[] {
    const { packets, verdict, known, flags, flows } = this.#spec
    const problems: string[] = []
    if (verdicts !== packets * verdict) problems.push(`verdicts sum up to ${verdicts}, not ${packets * verdict}`)
    const counted = this.#count() - this.#counted
    if (counted !== packets) problems.push(`the core counted ${counted} of ${packets} packets`)
    const entries = known || flags === 'S' ? flows : 0
    const { flows: table } = this.#core
    if (table.entries !== entries) problems.push(`${table.entries} flows in the table, not ${entries}`)
    if (table.evicted > 0) problems.push(`${table.evicted} flows gave way to others`)
    return problems
  }

  #count(): number {
    const name = this.#spec.verdict === VERDICT_MAC ? 'packetsMac' : 'packetsIpip'
    return this.#shared.values[COUNTER[this.#spec.verdict === VERDICT_LOCAL ? 'packetsLocal' : name]]!
  }

  /** Flows `first` to `end` − 1, one packet each. */
  #each(packets: Uint8Array, first: number, end: number): number {
    const core = this.#core
    const nowMs = this.#nowMs
    let sum = 0
    for (let flow = first; flow < end; flow++) {
      sum += core.decide(packets, write(packets, flow), PACKET_BYTES, false, false, nowMs)
    }
    return sum
  }

  #random(flows: number, packets: number): number {
    const core = this.#core
    const bytes = this.#acks
    const nowMs = this.#nowMs
    let sum = 0
    let random = 0x2545_f491
    for (let i = 0; i < packets; i++) {
      random = xorshift(random)
      sum += core.decide(bytes, write(bytes, (random >>> 0) % flows), PACKET_BYTES, false, false, nowMs)
    }
    return sum
  }

  /** Everything that a round does, but the decision. */
  loopAlone(): number {
    const { flows, packets } = this.#spec
    let sum = 0
    let random = 0x2545_f491
    for (let i = 0; i < packets; i++) {
      random = xorshift(random)
      sum += write(this.#acks, (random >>> 0) % flows)
    }
    return sum
  }
}

/** CPU time of this thread, which does not run on while others have the core. */
function cpuUs(): number {
  const { user, system } = process.threadCpuUsage()
  return user + system
}

/** Marsaglia 2003, 32 bits, never 0. */
function xorshift(state: number): number {
  let x = state
  x ^= x << 13
  x ^= x >>> 17
  x ^= x << 5
  return x
}

/**
 * Makes the packet of a flow, in the slot of its client. Port and low word of the sequence number always have the same
 * sum, so the TCP checksum of the template stays right.
 * @returns where its IP header starts
 */
function write(bytes: Uint8Array, flow: number): number {
  const client = (flow / PORTS) | 0
  const port = FIRST_PORT + flow - client * PORTS
  const at = client * SLOT_BYTES
  put16(bytes, at + TCP_AT, port)
  put16(bytes, at + TCP_AT + 6, 0xffff - port)
  return at + IP_AT
}

function templates(flags: 'S' | 'A'): Uint8Array {
  const bytes = new Uint8Array(CLIENTS * SLOT_BYTES)
  for (let client = 0; client < CLIENTS; client++) {
    const source = formatIpv4(FIRST_CLIENT + client)
    const sequence = 0xffff - FIRST_PORT
    const packet = tcpPacket({ source, sourcePort: FIRST_PORT, sequence, destination: P1, flags })
    bytes.set(packet, client * SLOT_BYTES + IP_AT)
  }
  return bytes
}
