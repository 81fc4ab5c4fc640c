/**
 * One run of a simulation: the cluster forms, then for the given time flows arrive, members stall and die as the spec
 * says, and what is to be reported is written down.
 */
import type { PolicyName } from '../../policy/types.ts'
import { SimulatedCluster } from './cluster.ts'
import { DISTRIBUTION_POINTS, detection, falseAlarms, trafficReport } from './findings.ts'
import { CAPACITY_FLOWS, Flows } from './flows.ts'
import { distribution, quantiles, round } from './quantiles.ts'
import { randomStream, shuffle } from './random.ts'
import type { PolicyReport, RunReport } from './report.ts'
import { AGE_SAMPLE_MS, BALANCE_SAMPLE_MS, Samples, TRAFFIC_SAMPLE_MS } from './samples.ts'
import { LARGE_MEMBERS } from './spec.ts'
import type { SimulationSpec } from './spec.ts'

/** A cluster that has not formed after this long is reported as such, and simulated all the same. */
const FORMING_MS_MAX = 30_000
/** Convergence is asked for no more often: at a thousand members the question costs more than an event. */
const FORMING_STEP_MS = 50
const KILL_AFTER = 1 / 4
const CRASH_AFTER = 1 / 2

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
  readonly #samples: Samples
  #stalls = 0
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
    this.#samples = new Samples(cluster)
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
    this.#every(AGE_SAMPLE_MS, () => this.#samples.takeAges(viewers))
    this.#every(TRAFFIC_SAMPLE_MS, () => this.#samples.takeTraffic())
    const flows = this.#flows
    if (flows !== undefined) this.#every(BALANCE_SAMPLE_MS, () => this.#samples.takeBalance(flows))
  }

  report(): Omit<RunReport, 'formedAfterMs'> {
    const { ledger } = this.#cluster
    const { durationMs } = this.#spec
    const { ages, traffic, trafficBefore } = this.#samples
    const deaths = ledger.deaths.filter(({ atMs }) => atMs >= this.#startMs)
    return {
      detection: detection(deaths, this.#cluster.up(), this.#startMs),
      falseAlarms: falseAlarms(ledger.wrongDeaths.slice(this.#wrongBefore), this.#cluster.size * durationMs, {
        stalls: this.#stalls,
        suspicions: ledger.falseSuspicions - this.#suspicionsBefore,
        whileForming: this.#wrongBefore,
      }),
      traffic: trafficReport(this.#cluster, trafficBefore, durationMs, traffic),
      reportAge: { ...quantiles(ages), distribution: distribution(ages, DISTRIBUTION_POINTS) },
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

  // -- what follows from it -----------------------------------------------------------------------------------------

  #flowsReport(): PolicyReport | undefined {
    if (this.#flows === undefined || this.#policy === undefined) return undefined
    const { arrived, redirected, misdirected } = this.#flows.counts
    const late = this.#samples.balance.filter(([atMs]) => atMs >= this.#spec.durationMs / 2).map(([, value]) => value)
    return {
      policy: this.#policy,
      imbalance: round(late.reduce((sum, value) => sum + value, 0) / late.length),
      imbalanceWorst: round(Math.max(...late)),
      redirected: round((redirected - this.#half.redirected) / (arrived - this.#half.arrived)),
      arrived,
      misdirected,
      series: this.#samples.balance,
      redirectedSeries: this.#samples.redirected,
    }
  }

  // -- time ---------------------------------------------------------------------------------------------------------

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
