/** A simulation's report in words: what stands above and beside its pictures, and in the table of `dpr simulate`. */
import type { KindReport, SimulationReport } from './report.ts'
import { LARGE_MEMBERS } from './spec.ts'
import type { SimulationSpec } from './spec.ts'

export type Figure = readonly [name: string, value: string]

export function headline(spec: SimulationSpec): { title: string; detail: string } {
  const { members, durationMs, network, latencyMs, loss, arrivals, kill, crash, stallMs, stallEveryMs, seed } = spec
  const parts = [
    `${network}, latency ${ms(latencyMs)}, loss ${percent(loss)}`,
    arrivals === 'none' ? 'no flows' : `arrivals ${arrivals}`,
    ...(kill > 0 ? [`${count(kill, 'daemon')} killed`] : []),
    ...(crash > 0 ? [`${count(crash, 'host')} without power`] : []),
    ...(stallMs > 0 ? [`one member stalls for ${ms(stallMs)} every ${ms(stallEveryMs)}`] : []),
    `seed ${seed}`,
  ]
  return { title: `${thousands(members)} simulated members for ${ms(durationMs)}`, detail: parts.join(' · ') }
}

/** The figures that matter most. */
export function figures(report: SimulationReport): Figure[] {
  const { falseAlarms, traffic, reportAge, policies } = report
  const { daemons, hosts } = report.detection
  const { deaths, membersDeclaredDead, awakeDeathsPerMemberHour } = falseAlarms
  const wrong = membersDeclaredDead === 0 ? '' : ` (${deaths.stalled} times stalled, ${deaths.awake} awake)`
  return [
    ['formed after', report.formedAfterMs === null ? 'not in time' : ms(report.formedAfterMs)],
    ...noticed('killed daemons noticed', daemons),
    ...noticed('dead hosts noticed', hosts),
    ['living declared dead', `${membersDeclaredDead} of ${thousands(report.spec.members)}${wrong}`],
    ['awake, a member-hour', `${awakeDeathsPerMemberHour} deaths`],
    ['false suspicions', thousands(falseAlarms.suspicions)],
    ['sent by a member', `${rate(traffic.mean.payloadSent)}, on the wire ${rate(traffic.mean.wireSent)} (estimate)`],
    ['received', `${rate(traffic.mean.payloadReceived)}, on the wire ${rate(traffic.mean.wireReceived)} (estimate)`],
    ['age of load reports', spread(reportAge)],
    ...policies.map(
      ({ policy, imbalance, redirected }) =>
        [policy, `max ÷ mean ${imbalance.toFixed(2)}, ${percent(redirected)} redirected`] as const,
    ),
  ]
}

function noticed(name: string, kind: KindReport | null): Figure[] {
  if (kind === null) return []
  return [
    [name, spread(kind.noticed)],
    ['', kind.allMs === null ? 'by all: not within the run' : `by all after ${ms(kind.allMs)}`],
  ]
}

/** What a reader must know to believe the figures. */
export function remarks({ spec, tablePace, policies }: SimulationReport): string[] {
  const large = spec.members >= LARGE_MEMBERS
  const from = `from ${LARGE_MEMBERS} members on`
  return [
    'CPU time is not simulated: every member is as fast as it needs to be',
    ...(policies.length > 0 ? ['balance and redirected flows are those of the second half of the time'] : []),
    ...(large
      ? [`${from} members are introduced to each other at the start; they do not find each other themselves`]
      : []),
    ...(large && policies.length > 0
      ? [
          `${from} a host makes its routing table anew at most every ${ms(tablePace.everyMs)}, after ` +
            `${tablePace.flows} flows or ${ms(tablePace.atMostMs)} (a daemon: every 100 ms)`,
        ]
      : []),
  ]
}

/** `0.2 ms`, `850 ms`, `1.52 s` */
export function ms(value: number): string {
  if (value < 10) return `${Number(value.toFixed(2))} ms`
  if (value < 1_000) return `${Math.round(value)} ms`
  return `${Number((value / 1_000).toFixed(2))} s`
}

/** `2 %`, `0.5 %`, `38 %` */
export function percent(share: number): string {
  const value = share * 100
  return `${Number(value.toFixed(value < 10 ? 1 : 0))} %`
}

/** Bytes per second as KB/s. */
export function rate(bytesPerSecond: number): string {
  return `${(bytesPerSecond / 1_000).toFixed(1)} KB/s`
}

export function thousands(value: number): string {
  return value.toLocaleString('en-US')
}

export function spread({ median, p99, max }: { median: number; p99: number; max: number }): string {
  return `median ${ms(median)}, p99 ${ms(p99)}, max ${ms(max)}`
}

function count(value: number, noun: string): string {
  return `${value} ${noun}${value === 1 ? '' : 's'}`
}
