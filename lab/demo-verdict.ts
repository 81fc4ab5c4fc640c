/**
 * What the demo claims, and whether it held: pure, from what was observed. Nothing is claimed that is not checked.
 */
import type { FlowsReport, LoadFailure } from './load-report.ts'
import type { PeerJson } from '../node/control-api.ts'

/** A host serves at least this share of the requests, or the load was not spread. */
const SHARE_MIN = 0.05
/** After detection at least this share of the offered load is answered; what was lost with the victim is missing. */
const ANSWERED_SHARE_MIN = 0.8

/** Everything the demo saw. Times are milliseconds since the epoch unless they end a duration. */
export interface DemoFacts {
  /** The host whose published address gets all the load, and the host that dies. */
  readonly entrance: string
  readonly victim: string
  readonly hosts: readonly string[]
  /** Requests per second offered. */
  readonly rate: number
  /** Answers by host before the cut, and from detection on with the seconds that they took. */
  readonly before: Readonly<Record<string, number>>
  readonly after: Readonly<Record<string, number>>
  readonly afterSeconds: number
  /** Answers by host in all, the seconds in between included. */
  readonly total: Readonly<Record<string, number>>
  /** How packets got from the entrance to each host. */
  readonly modes: Readonly<Record<string, PeerJson['mode']>>
  /** New flows that the entrance itself says it has redirected. */
  readonly redirected: number
  readonly cutMs: number
  /** When each living host saw the victim dead; hosts that never did are missing. */
  readonly detectedMs: Readonly<Record<string, number>>
  readonly failures: readonly LoadFailure[]
  /** The long-lived connections, at the end. */
  readonly flows: FlowsReport
  /** When the victim's own published address answered again; undefined if it did not. Shown, not claimed. */
  readonly takeoverMs: number | undefined
}

export interface Claim {
  readonly claim: string
  readonly held: boolean
}

/** Failures by when and where they happened; every one is in exactly one class. */
export interface FailureClasses {
  /** Ended before the cut. */
  before: LoadFailure[]
  /** Started before every living host knew, on the victim or on the way to nobody knows where. */
  victim: LoadFailure[]
  /** Same time, but a living host was serving them. */
  living: LoadFailure[]
  /** Started after every living host knew. */
  after: LoadFailure[]
}

/** When the last living host knew; Infinity if one never did. */
export function detectedByAll(facts: DemoFacts): number {
  const living = facts.hosts.filter((host) => host !== facts.victim)
  return Math.max(...living.map((host) => facts.detectedMs[host] ?? Infinity))
}

export function classifyFailures(facts: DemoFacts): FailureClasses {
  const classes: FailureClasses = { before: [], victim: [], living: [], after: [] }
  const detected = detectedByAll(facts)
  for (const failure of facts.failures) {
    if (failure.failedMs < facts.cutMs) classes.before.push(failure)
    else if (failure.startedMs >= detected) classes.after.push(failure)
    else if (failure.host === null || failure.host === facts.victim) classes.victim.push(failure)
    else classes.living.push(failure)
  }
  return classes
}

/** Answers of hosts that the entrance reaches by this addressing mode. */
export function answersByMode(facts: DemoFacts, mode: 'mac' | 'ipip'): number {
  const hosts = facts.hosts.filter((host) => facts.modes[host] === mode)
  return hosts.reduce((sum, host) => sum + (facts.total[host] ?? 0), 0)
}

/** Long-lived connections that broke or stand still, by host. */
export function lostConnections(flows: FlowsReport): Record<string, number> {
  const lost = { ...flows.brokenByHost }
  for (const [host, count] of Object.entries(flows.stalledByHost)) lost[host] = (lost[host] ?? 0) + count
  return lost
}

export function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0)
}

/** Every claim of the demo, in the order of the story. */
export function demoClaims(facts: DemoFacts): Claim[] {
  const { entrance, victim, before, after } = facts
  const failures = classifyFailures(facts)
  const detected = detectedByAll(facts)
  const served = (host: string) => (before[host] ?? 0) >= SHARE_MIN * sum(before)
  const idle = facts.hosts.filter((host) => !served(host))
  const answeredPerSecond = facts.afterSeconds === 0 ? 0 : sum(after) / facts.afterSeconds
  const lostElsewhere = sum(lostConnections(facts.flows)) - (lostConnections(facts.flows)[victim] ?? 0)
  return [
    {
      claim: `every host served a share of ${entrance}'s load${idle.length === 0 ? '' : ` (not: ${idle.join(', ')})`}`,
      held: idle.length === 0 && facts.redirected > 0,
    },
    {
      claim: `${entrance} redirected by mac within its segment and by ipip beyond it`,
      held: answersByMode(facts, 'mac') > 0 && answersByMode(facts, 'ipip') > 0,
    },
    {
      claim: `no request failed before ${victim} died (${failures.before.length})`,
      held: failures.before.length === 0,
    },
    { claim: `every living host noticed that ${victim} is gone`, held: detected < Infinity },
    {
      claim: `no request that a living host was serving failed (${failures.living.length})`,
      held: failures.living.length === 0,
    },
    {
      claim: `no request failed that began after the detection (${failures.after.length})`,
      held: failures.after.length === 0 && detected < Infinity,
    },
    {
      claim: `the site went on: ${answeredPerSecond.toFixed(0)} answers/s of ${facts.rate} offered`,
      held: answeredPerSecond >= ANSWERED_SHARE_MIN * facts.rate,
    },
    {
      claim: `no long-lived connection broke but those on ${victim} (${lostElsewhere}), and no byte was wrong`,
      held: lostElsewhere === 0 && facts.flows.corrupted === 0 && facts.flows.opened > 0,
    },
  ]
}
