/** What follows from what a simulated cluster went through: detection, false alarms, traffic. Pure functions. */
import type { SimulatedCluster } from './cluster.ts'
import { nameOf } from './identities.ts'
import type { Death, WrongDeath } from './ledger.ts'
import { distribution, quantiles, round } from './quantiles.ts'
import type { DeathReport, DetectionReport, FalseAlarmReport, KindReport, Rates, TrafficReport } from './report.ts'
import type { TrafficTotals } from './traffic.ts'

const MS_PER_HOUR = 3_600_000
export const DISTRIBUTION_POINTS = 101

/** @param up members that were up at the end */
export function detection(deaths: readonly Death[], up: readonly number[], startMs: number): DetectionReport {
  const ofKind = (kind: Death['kind']): KindReport | null => {
    const some = deaths.filter((death) => death.kind === kind)
    return some.length === 0 ? null : kindReport(some, up)
  }
  return {
    deaths: deaths.map((death) => deathReport(death, up, startMs)),
    daemons: ofKind('daemon'),
    hosts: ofKind('host'),
  }
}

export function falseAlarms(
  wrong: readonly WrongDeath[],
  memberMs: number,
  counts: Pick<FalseAlarmReport, 'stalls' | 'suspicions' | 'whileForming'>,
): FalseAlarmReport {
  const memberHours = memberMs / MS_PER_HOUR
  const split = (verdicts: readonly WrongDeath[]): { stalled: number; awake: number } => {
    const stalled = verdicts.filter((verdict) => verdict.stalled).length
    return { stalled, awake: verdicts.length - stalled }
  }
  const deaths = split(wrong.filter((verdict) => verdict.first))
  return {
    memberHours: round(memberHours),
    stalls: counts.stalls,
    deaths,
    verdicts: split(wrong),
    membersDeclaredDead: new Set(wrong.map(({ subject }) => subject)).size,
    awakeDeathsPerMemberHour: round(deaths.awake / memberHours),
    suspicions: counts.suspicions,
    whileForming: counts.whileForming,
  }
}

/** Members that died count until they did: the mean is over those that live. */
export function trafficReport(
  cluster: SimulatedCluster,
  before: readonly TrafficTotals[],
  durationMs: number,
  series: TrafficReport['series'],
): TrafficReport {
  const seconds = durationMs / 1_000
  const rates = cluster.up().map((member) => ratesOf(before[member]!, cluster.trafficOf(member), seconds))
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
    series,
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
