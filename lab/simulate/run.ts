/**
 * One run of a simulation: the cluster forms, then for the given time flows arrive, members stall and die as the spec
 * says, and what is to be reported is written down.
 */
import type { PolicyName } from '../../policy/types.ts'
import { SimulatedCluster } from './cluster.ts'
import { CAPACITY_FLOWS, Flows } from './flows.ts'
import { nameOf } from './identities.ts'
import type { Death } from './ledger.ts'
import { distribution, quantiles, round } from './quantiles.ts'
import { randomStream, shuffle } from './random.ts'
import type {
  DeathReport,
  DetectionReport,
  FalseAlarmReport,
  KindReport,
  PolicyReport,
  Rates,
  RunReport,
  TrafficReport,
} from './report.ts'
import { LARGE_MEMBERS } from './spec.ts'
import type { SimulationSpec } from './spec.ts'
import type { TrafficTotals } from './traffic.ts'

/** A cluster that has not formed after this long is reported as such, and simulated all the same. */
const FORMING_MS_MAX = 30_000
/** Convergence is asked for no more often: at a thousand members the question costs more than an event. */
const FORMING_STEP_MS = 50
const KILL_AFTER = 1 / 4
const CRASH_AFTER = 1 / 2
const MS_PER_HOUR = 3_600_000
const DISTRIBUTION_POINTS = 101
/** Reports' ages are looked at this often, … */
const AGE_SAMPLE_MS = 1_000
/** … by all members of a small cluster, and by so many of a large one. */
const AGE_VIEWERS_ALL = 100
const AGE_VIEWERS = 20
const BALANCE_SAMPLE_MS = 250
/** The share redirected is that of so many of these: a few flows make no share. */
const SHARE_SAMPLES = 4
const TRAFFIC_SAMPLE_MS = 1_000

export type Progress = (done: number) => void

/** @param policy undefined: no flows */
export async function runSimulation(
  spec: SimulationSpec,
  policy: PolicyName | undefined,
  progress: Progress = () => {},
): Promise<RunReport> {
  const cluster = await SimulatedCluster.create({
    seed: spec.seed,
    members: spec.members,
    config: spec.config,
    facts: () => ({ capacityFlows: CAPACITY_FLOWS }),
    recordEvents: false,
    network: {
      model: spec.network,
      latencyMs: spec.latencyMs,
      jitterMs: spec.latencyMs / 2,
      loss: spec.loss,
      ...spec.weather,
    },
  })
  if (spec.members >= LARGE_MEMBERS) cluster.startIntroduced()
  else cluster.startAll()
  const formedAfterMs = form(cluster)
  const run = new Run(cluster, spec, policy)
  run.begin()
  const steps = Math.ceil(spec.durationMs / TRAFFIC_SAMPLE_MS)
  for (let step = 1; step <= steps; step++) {
    cluster.run(spec.durationMs / steps)
    progress(step / steps)
  }
  return { formedAfterMs: formedAfterMs === undefined ? null : round(formedAfterMs), ...run.report() }
}

function form(cluster: SimulatedCluster): number | undefined {
  while (cluster.nowMs < FORMING_MS_MAX) {
    cluster.run(FORMING_STEP_MS)
    if (cluster.converged() && cluster.linked()) return cluster.nowMs
  }
  return undefined
}

class Run {
  readonly #cluster: SimulatedCluster
  readonly #spec: SimulationSpec
  readonly #policy: PolicyName | undefined
  readonly #flows: Flows | undefined
  readonly #startMs: number
  readonly #endMs: number
  readonly #wrongBefore: number
  readonly #suspicionsBefore: number
  readonly #trafficBefore: TrafficTotals[]
  readonly #ages: number[] = []
  readonly #balance: [number, number][] = []
  readonly #redirectedSeries: [number, number][] = []
  readonly #trafficSeries: [number, number, number][] = []
  #stalls = 0
  #lastCounts: [number, number] = [0, 0]
  #lastTraffic: TrafficTotals | undefined
  /** Counts at the middle of the time. */
  #half = { arrived: 0, redirected: 0 }

  constructor(cluster: SimulatedCluster, spec: SimulationSpec, policy: PolicyName | undefined) {
    this.#cluster = cluster
    this.#spec = spec
    this.#policy = policy
    this.#startMs = cluster.nowMs
    this.#endMs = cluster.nowMs + spec.durationMs
    this.#wrongBefore = cluster.wrongDeaths().length
    this.#suspicionsBefore = cluster.ledger.falseSuspicions
    this.#trafficBefore = Array.from({ length: cluster.size }, (_, member) => cluster.trafficOf(member))
    if (policy !== undefined && spec.arrivals !== 'none') this.#flows = new Flows(cluster, spec.arrivals, policy)
  }

  begin(): void {
    const { durationMs, kill, crash, stallMs, stallEveryMs } = this.#spec
    this.#flows?.begin()
    if (this.#flows === undefined) this.#reportIdleLoads()
    const members = Array.from({ length: this.#cluster.size }, (_, member) => member)
    const victims = shuffle(randomStream(this.#spec.seed, 'victims'), members)
    this.#after(durationMs * KILL_AFTER, () => {
      for (const member of victims.slice(0, kill)) this.#kill(member)
    })
    this.#after(durationMs * CRASH_AFTER, () => {
      for (const member of victims.slice(kill, kill + crash)) this.#crash(member)
    })
    this.#after(durationMs / 2, () => {
      if (this.#flows !== undefined) this.#half = { ...this.#flows.counts }
    })
    const random = randomStream(this.#spec.seed, 'stalls')
    if (stallMs > 0) this.#every(stallEveryMs, () => this.#stall(random))
    const viewers = randomStream(this.#spec.seed, 'viewers')
    this.#every(AGE_SAMPLE_MS, () => this.#sampleAges(viewers))
    this.#every(TRAFFIC_SAMPLE_MS, () => this.#sampleTraffic())
    if (this.#flows !== undefined) this.#every(BALANCE_SAMPLE_MS, () => this.#sampleBalance(this.#flows!))
  }

  report(): Omit<RunReport, 'formedAfterMs'> {
    return {
      detection: this.#detection(),
      falseAlarms: this.#falseAlarms(),
      traffic: this.#traffic(),
      reportAge: { ...quantiles(this.#ages), distribution: distribution(this.#ages, DISTRIBUTION_POINTS) },
      flows: this.#flowsReport(),
      events: this.#cluster.clock.ran,
    }
  }

  // -- what happens -------------------------------------------------------------------------------------------------

  #kill(member: number): void {
    this.#cluster.killDaemon(member)
    this.#flows?.daemonLost(member)
  }

  #crash(member: number): void {
    this.#cluster.crash(member)
    this.#flows?.hostLost(member)
  }

  #stall(random: () => number): void {
    const up = this.#cluster.up()
    const member = up[Math.floor(random() * up.length)]
    if (member === undefined) return
    this.#stalls++
    this.#cluster.pause(member, this.#spec.stallMs)
  }

  /** Without flows every member still reports its load as often as a daemon does. */
  #reportIdleLoads(): void {
    this.#every(this.#cluster.config.probeIntervalMs, () => {
      for (const member of this.#cluster.up()) this.#cluster.setLoad(member, 0)
    })
  }

  // -- what is written down -----------------------------------------------------------------------------------------

  #sampleAges(random: () => number): void {
    const up = this.#cluster.up()
    const viewers =
      this.#cluster.size <= AGE_VIEWERS_ALL
        ? up
        : Array.from({ length: AGE_VIEWERS }, () => up[Math.floor(random() * up.length)]!)
    for (const viewer of viewers) {
      this.#cluster.eachMember(viewer, ({ self, status, report }) => {
        if (!self && status === 'alive') this.#ages.push(report.ageMs)
      })
    }
  }

  #sampleBalance(flows: Flows): void {
    const { max, mean } = flows.spread()
    const { arrived, redirected } = flows.counts
    const atMs = this.#sinceStartMs()
    if (mean > 0) this.#balance.push([atMs, round(max / mean)])
    const [beforeArrived, beforeRedirected] = this.#lastCounts
    if (this.#balance.length % SHARE_SAMPLES !== 0) return
    if (arrived > beforeArrived) {
      this.#redirectedSeries.push([atMs, round((redirected - beforeRedirected) / (arrived - beforeArrived))])
    }
    this.#lastCounts = [arrived, redirected]
  }

  #sampleTraffic(): void {
    const now = this.#cluster.traffic()
    const before = this.#lastTraffic ?? sumOf(this.#trafficBefore)
    const perMember = (1 / this.#cluster.up().length) * (1_000 / TRAFFIC_SAMPLE_MS)
    this.#trafficSeries.push([
      this.#sinceStartMs(),
      Math.round((now.payloadSent - before.payloadSent) * perMember),
      Math.round((now.wireSent - before.wireSent) * perMember),
    ])
    this.#lastTraffic = now
  }

  // -- what follows from it -----------------------------------------------------------------------------------------

  #detection(): DetectionReport {
    const up = this.#cluster.up()
    const deaths = this.#cluster.ledger.deaths.filter(({ atMs }) => atMs >= this.#startMs)
    const ofKind = (kind: Death['kind']): KindReport | null => {
      const some = deaths.filter((death) => death.kind === kind)
      return some.length === 0 ? null : kindReport(some, up)
    }
    return {
      deaths: deaths.map((death) => deathReport(death, up, this.#startMs)),
      daemons: ofKind('daemon'),
      hosts: ofKind('host'),
    }
  }

  #falseAlarms(): FalseAlarmReport {
    const wrong = this.#cluster.wrongDeaths().slice(this.#wrongBefore)
    const memberHours = (this.#cluster.size * this.#spec.durationMs) / MS_PER_HOUR
    const first = wrong.filter((verdict) => verdict.first)
    const deaths = { stalled: first.filter((v) => v.stalled).length, awake: first.filter((v) => !v.stalled).length }
    return {
      memberHours: round(memberHours),
      stalls: this.#stalls,
      deaths,
      verdicts: { stalled: wrong.filter((v) => v.stalled).length, awake: wrong.filter((v) => !v.stalled).length },
      membersDeclaredDead: new Set(wrong.map(({ subject }) => subject)).size,
      awakeDeathsPerMemberHour: round(deaths.awake / memberHours),
      suspicions: this.#cluster.ledger.falseSuspicions - this.#suspicionsBefore,
      whileForming: this.#wrongBefore,
    }
  }

  /** Members that died count until they did: the mean is over those that live. */
  #traffic(): TrafficReport {
    const seconds = this.#spec.durationMs / 1_000
    const rates = this.#cluster
      .up()
      .map((member) => ratesOf(this.#trafficBefore[member]!, this.#cluster.trafficOf(member), seconds))
    const mean = (key: keyof Rates): number => round(rates.reduce((sum, rate) => sum + rate[key], 0) / rates.length)
    return {
      mean: {
        payloadSent: mean('payloadSent'),
        payloadReceived: mean('payloadReceived'),
        wireSent: mean('wireSent'),
        wireReceived: mean('wireReceived'),
        framesSent: mean('framesSent'),
      },
      wireMost: round(Math.max(...rates.flatMap(({ wireSent, wireReceived }) => [wireSent, wireReceived]))),
      series: this.#trafficSeries,
    }
  }

  #flowsReport(): PolicyReport | undefined {
    if (this.#flows === undefined || this.#policy === undefined) return undefined
    const { arrived, redirected, misdirected } = this.#flows.counts
    const late = this.#balance.filter(([atMs]) => atMs >= this.#spec.durationMs / 2).map(([, value]) => value)
    return {
      policy: this.#policy,
      imbalance: round(late.reduce((sum, value) => sum + value, 0) / late.length),
      imbalanceWorst: round(Math.max(...late)),
      redirected: round((redirected - this.#half.redirected) / (arrived - this.#half.arrived)),
      arrived,
      misdirected,
      series: this.#balance,
      redirectedSeries: this.#redirectedSeries,
    }
  }

  // -- time ---------------------------------------------------------------------------------------------------------

  #sinceStartMs(): number {
    return round(this.#cluster.nowMs - this.#startMs)
  }

  #after(ms: number, act: () => void): void {
    this.#cluster.at(this.#startMs + ms, act)
  }

  #every(ms: number, act: () => void): void {
    let atMs = this.#startMs
    const again = (): void => {
      atMs += ms
      if (atMs > this.#endMs) return
      this.#cluster.at(atMs, () => {
        act()
        again()
      })
    }
    again()
  }
}

function kindReport(deaths: readonly Death[], up: readonly number[]): KindReport {
  const times = deaths.map((death) => noticedTimes(death, up))
  return {
    noticed: quantiles(times.flat()),
    distribution: distribution(times.flat(), DISTRIBUTION_POINTS),
    allMs: times.some(({ length }) => length < up.length) ? null : quantiles(times.flat()).max,
  }
}

function deathReport(death: Death, up: readonly number[], startMs: number): DeathReport {
  const times = noticedTimes(death, up)
  const { count, median, max } = quantiles(times)
  return {
    member: nameOf(death.subject),
    kind: death.kind,
    atMs: round(death.atMs - startMs),
    firstMs: count === 0 ? null : round(Math.min(...times)),
    medianMs: count === 0 ? null : median,
    allMs: count < up.length ? null : max,
    unaware: up.length - count,
  }
}

function noticedTimes(death: Death, viewers: readonly number[]): number[] {
  return viewers.map((viewer) => death.noticedAfterMs[viewer]!).filter((ms) => !Number.isNaN(ms))
}

function ratesOf(before: TrafficTotals, after: TrafficTotals, seconds: number): Rates {
  const rate = (key: keyof TrafficTotals): number => (after[key] - before[key]) / seconds
  return {
    payloadSent: rate('payloadSent'),
    payloadReceived: rate('payloadReceived'),
    wireSent: rate('wireSent'),
    wireReceived: rate('wireReceived'),
    framesSent: rate('framesSent'),
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
