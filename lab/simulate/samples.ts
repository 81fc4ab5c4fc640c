/** What is written down while a simulation runs: ages of load reports, balance of the flows, traffic. */
import type { SimulatedCluster } from './cluster.ts'
import type { FlowCounts, Flows } from './flows.ts'
import { round } from './quantiles.ts'
import type { Random } from './random.ts'
import type { TrafficTotals } from './traffic.ts'

/** Reports' ages are looked at this often, … */
export const AGE_SAMPLE_MS = 1_000
/** … by all members of a small cluster, and by so many of a large one. */
const AGE_VIEWERS_ALL = 100
const AGE_VIEWERS = 20
export const BALANCE_SAMPLE_MS = 250
/** The share redirected is that of so many of these: a few flows make no share. */
const SHARE_SAMPLES = 4
export const TRAFFIC_SAMPLE_MS = 1_000

export class Samples {
  /** Of others' reports in members' views, ms. */
  readonly ages: number[] = []
  /** [ms since the start, largest ÷ mean active flows] */
  readonly balance: [number, number][] = []
  /** [ms since the start, share redirected since the last point] */
  readonly redirected: [number, number][] = []
  /** [ms since the start, payload and wire bytes a member and second] */
  readonly traffic: [number, number, number][] = []
  /** By member, at the start. */
  readonly trafficBefore: readonly TrafficTotals[]
  readonly #cluster: SimulatedCluster
  readonly #startMs: number
  #lastCounts: Pick<FlowCounts, 'arrived' | 'redirected'> = { arrived: 0, redirected: 0 }
  #lastTraffic: TrafficTotals

  constructor(cluster: SimulatedCluster) {
    this.#cluster = cluster
    this.#startMs = cluster.nowMs
    this.trafficBefore = Array.from({ length: cluster.size }, (_, member) => cluster.trafficOf(member))
    this.#lastTraffic = sumOf(this.trafficBefore)
  }

  takeAges(random: Random): void {
    const up = this.#cluster.up()
    const viewers =
      this.#cluster.size <= AGE_VIEWERS_ALL
        ? up
        : Array.from({ length: AGE_VIEWERS }, () => up[Math.floor(random() * up.length)]!)
    for (const viewer of viewers) {
      this.#cluster.eachMember(viewer, ({ self, status, report }) => {
        if (!self && status === 'alive') this.ages.push(report.ageMs)
      })
    }
  }

  takeBalance(flows: Flows): void {
    const { max, mean } = flows.spread()
    const { arrived, redirected } = flows.counts
    const atMs = this.#sinceStartMs()
    if (mean > 0) this.balance.push([atMs, round(max / mean)])
    if (this.balance.length % SHARE_SAMPLES !== 0) return
    const before = this.#lastCounts
    if (arrived > before.arrived) {
      this.redirected.push([atMs, round((redirected - before.redirected) / (arrived - before.arrived))])
    }
    this.#lastCounts = { arrived, redirected }
  }

  takeTraffic(): void {
    const now = this.#cluster.traffic()
    const before = this.#lastTraffic
    const perMember = (1 / this.#cluster.up().length) * (1_000 / TRAFFIC_SAMPLE_MS)
    this.traffic.push([
      this.#sinceStartMs(),
      Math.round((now.payloadSent - before.payloadSent) * perMember),
      Math.round((now.wireSent - before.wireSent) * perMember),
    ])
    this.#lastTraffic = now
  }

  #sinceStartMs(): number {
    return round(this.#cluster.nowMs - this.#startMs)
  }
}

function sumOf(totals: readonly TrafficTotals[]): TrafficTotals {
  const sum = (key: keyof TrafficTotals): number => totals.reduce((whole, each) => whole + each[key], 0)
  return {
    payloadSent: sum('payloadSent'),
    payloadReceived: sum('payloadReceived'),
    wireSent: sum('wireSent'),
    wireReceived: sum('wireReceived'),
    framesSent: sum('framesSent'),
    framesReceived: sum('framesReceived'),
  }
}
