/**
 * A cluster in virtual time, closed through the policy: hosts whose flows arrive, last and end, loads that are reported
 * late, tables that are built from those reports, and the engine's rule (stay below the limit, else the next slot).
 * Steps of 10 ms; no packets, no gossip protocol, only its delays.
 */
import { mulberry32 } from '../../lab/load.ts'
import { boundedPareto, boundedParetoMean, exponential } from '../../lab/simulate/random.ts'
import type { Random } from '../../lab/simulate/random.ts'
import { memberWith } from './views.ts'
import type { Policy, PolicySettings, RoutingTable } from '../../policy/types.ts'

export interface LoopSpec {
  policy: Policy
  settings: PolicySettings
  seed: number
  /** Capacity of each host; capacityFlows is this × flowsPerCapacity. */
  capacities: readonly number[]
  flowsPerCapacity: number
  /** Mean load of the whole cluster once it is warm, 1 = full. */
  load: number
  /** Part of all arrivals that reaches each host; sums to one. */
  arrivals: readonly number[]
  /** The mean is 3.6 times this for 1 s, 3.7 times for 0.5 s. */
  shortestFlowMs: number
  warmUpMs: number
  measuredMs: number
}

export interface LoopResult {
  /** Time average of the largest ÷ mean active flows per capacity. */
  imbalance: number
  /** Largest value of it in any step. */
  worstImbalance: number
  /** Redirected ÷ all flows that arrived while measured. */
  redirected: number
  /** Time average of each host's active flows. */
  flows: number[]
}

const STEP_MS = 10
/** Tables are built anew at each sample of the own load. */
const TABLE_EVERY_MS = 100
/** A peer's report arrives this often, each between 200 and 500 ms old. */
const REPORT_EVERY_MS = 200
const REPORT_AGE_MS = [200, 500] as const
/** Flow durations are bounded Pareto: most are near the shortest, half of all flow time is in the long ones. */
const DURATION_SHAPE = 1.3
const LONGEST_FLOW_MS = 300_000

interface Report {
  load: number
  takenAtMs: number
  myFlowsAtReport: number
}

interface Host {
  active: number
  /** Flows that this host has redirected and that still last, by destination. */
  placed: number[]
  /** Latest report of each host, as received here. */
  reports: Report[]
  table: RoutingTable
  cursor: number
  nextArrivalMs: number
}

export function runLoop(spec: LoopSpec): LoopResult {
  const loop = new ClusterLoop(spec)
  const steps = { measured: 0, imbalance: 0, worst: 0, flows: spec.capacities.map(() => 0) }
  for (let nowMs = 0; nowMs < spec.warmUpMs + spec.measuredMs; nowMs += STEP_MS) {
    if (nowMs === spec.warmUpMs) loop.arrived = loop.redirected = 0
    loop.step(nowMs)
    if (nowMs < spec.warmUpMs) continue
    const imbalance = loop.imbalance()
    steps.measured++
    steps.imbalance += imbalance
    steps.worst = Math.max(steps.worst, imbalance)
    loop.activeFlows().forEach((active, host) => (steps.flows[host]! += active))
  }
  return {
    imbalance: steps.imbalance / steps.measured,
    worstImbalance: steps.worst,
    redirected: loop.redirected / loop.arrived,
    flows: steps.flows.map((flows) => flows / steps.measured),
  }
}

class ClusterLoop {
  arrived = 0
  redirected = 0
  readonly #spec: LoopSpec
  readonly #random: Random
  readonly #capacityFlows: number[]
  readonly #flowsPerMs: number
  readonly #hosts: Host[]
  /** Active flows of all hosts at each step so far: what late reports are read from. */
  readonly #history: number[][] = []
  /** Flows by the time at which they end. */
  readonly #endings = new Map<number, { host: number; rewriter: number }[]>()

  constructor(spec: LoopSpec) {
    this.#spec = spec
    this.#random = mulberry32(spec.seed)
    this.#capacityFlows = spec.capacities.map((capacity) => capacity * spec.flowsPerCapacity)
    const meanDurationMs = boundedParetoMean(DURATION_SHAPE, spec.shortestFlowMs, LONGEST_FLOW_MS)
    this.#flowsPerMs = (spec.load * sum(this.#capacityFlows)) / meanDurationMs
    this.#hosts = spec.capacities.map((_, host) => ({
      active: 0,
      placed: spec.capacities.map(() => 0),
      reports: spec.capacities.map(() => ({ load: 0, takenAtMs: 0, myFlowsAtReport: 0 })),
      table: { localLimit: Infinity, ring: [], stateless: false, fallback: [] },
      cursor: 0,
      nextArrivalMs: this.#untilNextArrivalMs(host),
    }))
  }

  step(nowMs: number): void {
    this.#endFlows(nowMs)
    this.#history.push(this.activeFlows())
    this.#hosts.forEach((me, host) => {
      // Hosts are not in step with each other.
      if ((nowMs + host * 30) % REPORT_EVERY_MS === 0) this.#receiveReports(me, host, nowMs)
      if ((nowMs + host * 10) % TABLE_EVERY_MS === 0) this.#buildTable(me, host, nowMs)
    })
    this.#hosts.forEach((me, host) => {
      for (; me.nextArrivalMs < nowMs + STEP_MS; me.nextArrivalMs += this.#untilNextArrivalMs(host)) {
        this.#admitFlow(me, host, nowMs)
      }
    })
  }

  activeFlows(): number[] {
    return this.#hosts.map(({ active }) => active)
  }

  /** Largest ÷ mean active flows per capacity, now. */
  imbalance(): number {
    const { capacities } = this.#spec
    const levels = this.#hosts.map(({ active }, host) => active / capacities[host]!)
    return Math.max(...levels) / (sum(this.activeFlows()) / sum(capacities))
  }

  #endFlows(nowMs: number): void {
    for (const { host, rewriter } of this.#endings.get(nowMs) ?? []) {
      this.#hosts[host]!.active--
      if (rewriter !== host) this.#hosts[rewriter]!.placed[host]!--
    }
    this.#endings.delete(nowMs)
  }

  #receiveReports(me: Host, host: number, nowMs: number): void {
    const [least, most] = REPORT_AGE_MS
    for (let peer = 0; peer < this.#hosts.length; peer++) {
      const takenAtMs = Math.max(0, nowMs - least - Math.floor(this.#random() * (most - least)))
      if (peer === host || takenAtMs < me.reports[peer]!.takenAtMs) continue
      const load = this.#history[Math.floor(takenAtMs / STEP_MS)]![peer]! / this.#capacityFlows[peer]!
      me.reports[peer] = { load, takenAtMs, myFlowsAtReport: me.placed[peer]! }
    }
  }

  #buildTable(me: Host, host: number, nowMs: number): void {
    const members = this.#spec.capacities.map((capacity, index) => {
      const capacityFlows = this.#capacityFlows[index]!
      const common = { self: index === host, capacity, capacityFlows, eligibleForMs: nowMs }
      if (index === host) return memberWith(index, { ...common, load: me.active / capacityFlows, reportAgeMs: 0 })
      const { load, takenAtMs, myFlowsAtReport } = me.reports[index]!
      const flows = { myFlows: me.placed[index]!, myFlowsAtReport }
      return memberWith(index, { ...common, load, reportAgeMs: nowMs - takenAtMs, ...flows })
    })
    me.table = this.#spec.policy({ members }, this.#spec.settings, Math.floor(this.#random() * 2 ** 32))
  }

  #admitFlow(me: Host, rewriter: number, nowMs: number): void {
    const { localLimit, ring } = me.table
    const stays = me.active < localLimit || ring.length === 0
    const host = stays ? rewriter : ring[me.cursor++ % ring.length]!
    this.#hosts[host]!.active++
    this.arrived++
    if (host !== rewriter) {
      me.placed[host]!++
      this.redirected++
    }
    const lastsMs = boundedPareto(this.#random, DURATION_SHAPE, this.#spec.shortestFlowMs, LONGEST_FLOW_MS)
    const endsMs = nowMs + STEP_MS * Math.ceil(lastsMs / STEP_MS)
    const endings = this.#endings.get(endsMs)
    if (endings === undefined) this.#endings.set(endsMs, [{ host, rewriter }])
    else endings.push({ host, rewriter })
  }

  #untilNextArrivalMs(host: number): number {
    const part = this.#spec.arrivals[host]!
    return part > 0 ? exponential(this.#random, 1 / (this.#flowsPerMs * part)) : Infinity
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
