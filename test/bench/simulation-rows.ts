/**
 * The questions that only a simulation answers, each with its target: what is simulated for it, and how the answer is
 * read from the reports. Pure, so that it is tested without simulating.
 */
import type { SimulationReport } from '../../lab/simulate/report.ts'
import type { SimulationSpec } from '../../lab/simulate/spec.ts'
import { count, percent } from './report.ts'

export interface Effort {
  seeds: number
  minutes: number
}

export interface Question {
  name: string
  target: string
  /** One for each seed; the network's model is added. */
  specs(effort: Effort): Partial<SimulationSpec>[]
  answer(reports: readonly SimulationReport[]): { shown: string; isMet: boolean; more: string }
  /** Below this much effort the target may be missed, but not met. */
  wanted: Partial<Effort>
}

const SEEDS_WANTED = 100
const MINUTES_WANTED = 10
/** Of the largest clusters: one run of them is as much work as a hundred of five members. */
const LARGE_SEEDS_MAX = 3
const MS_PER_MINUTE = 60_000
const KILOBYTE = 1_000

const FORMED_ONLY = { arrivals: 'none' } as const

function seeds(effort: Effort, max = Infinity): number[] {
  return Array.from({ length: Math.min(effort.seeds, max) }, (_, i) => i + 1)
}

function stalls(members: number, shareMax: number): Question {
  return {
    name: `${members} members, one frozen for 500 ms every 2 s, 2 minutes: declared dead`,
    target: shareMax === 0 ? 'none' : `≤ ${percent(shareMax)}`,
    wanted: { seeds: SEEDS_WANTED },
    specs: (effort) =>
      seeds(effort).map((seed) => ({
        ...FORMED_ONLY,
        members,
        seed,
        durationMs: 2 * MS_PER_MINUTE,
        stallMs: 500,
        stallEveryMs: 2_000,
      })),
    answer: (reports) => {
      const dead = sum(reports, ({ falseAlarms }) => falseAlarms.membersDeclaredDead)
      const all = sum(reports, ({ spec }) => spec.members)
      const suspicions = sum(reports, ({ falseAlarms }) => falseAlarms.suspicions)
      return {
        shown: `${dead} of ${count(all)} (${((100 * dead) / all).toFixed(2)} %)`,
        isMet: dead / all <= shareMax,
        more: `${count(suspicions)} members suspected that were awake`,
      }
    },
  }
}

function traffic(members: number, kilobytesMax: number): Question {
  return {
    name: `${count(members)} members, gossip traffic each way`,
    target: `≤ ${kilobytesMax} KB/s`,
    wanted: {},
    specs: (effort) =>
      seeds(effort, members >= 1_000 ? 1 : 3).map((seed) => ({ ...FORMED_ONLY, members, seed, durationMs: 20_000 })),
    answer: (reports) => {
      const mean = (of: (report: SimulationReport) => number): number => sum(reports, of) / reports.length / KILOBYTE
      const sent = mean((report) => report.traffic.mean.wireSent)
      const received = mean((report) => report.traffic.mean.wireReceived)
      const most = Math.max(...reports.map((report) => report.traffic.wireMost)) / KILOBYTE
      const payload = mean((report) => report.traffic.mean.payloadSent)
      return {
        shown: `${Math.max(sent, received).toFixed(1)} KB/s`,
        isMet: Math.max(sent, received) <= kilobytesMax,
        more: `payload ${payload.toFixed(1)}, the busiest member ${most.toFixed(1)} KB/s`,
      }
    },
  }
}

const AGE_MEDIAN_MS_MAX = 800
const AGE_P99_MS_MAX = 2_000
const NOTICED_P99_MS_MAX = 4_000
const AWAKE_DEATHS_MAX = 0.01

export const QUESTIONS: readonly Question[] = [
  {
    name: '1,000 members, 2 % loss, 1 % of them standing still for 5 s at any time: deaths of those awake',
    target: `≤ ${AWAKE_DEATHS_MAX} per member-hour`,
    wanted: { minutes: MINUTES_WANTED },
    specs: ({ minutes }) => [
      {
        ...FORMED_ONLY,
        members: 1_000,
        seed: 1,
        loss: 0.02,
        durationMs: minutes * MS_PER_MINUTE,
        stallMs: 5_000,
        // Ten at a time: one begins every half second.
        stallEveryMs: 500,
      },
    ],
    answer: (reports) => {
      const deaths = sum(reports, ({ falseAlarms }) => falseAlarms.deaths.awake)
      const hours = sum(reports, ({ falseAlarms }) => falseAlarms.memberHours)
      const stalled = sum(reports, ({ falseAlarms }) => falseAlarms.deaths.stalled)
      return {
        shown: `${(deaths / hours).toFixed(3)} (${deaths} in ${hours.toFixed(1)} h)`,
        isMet: deaths / hours <= AWAKE_DEATHS_MAX,
        more: `${count(stalled)} deaths of members that stood still, of ${count(sum(reports, ({ falseAlarms }) => falseAlarms.stalls))} stalls`,
      }
    },
  },
  {
    name: '1,000 members, 1 % loss, 10 deaths at once: noticed by all, 99th percentile',
    target: '≤ 4 s',
    wanted: {},
    specs: (effort) =>
      seeds(effort, LARGE_SEEDS_MAX).map((seed) => ({
        ...FORMED_ONLY,
        members: 1_000,
        seed,
        loss: 0.01,
        crash: 10,
        durationMs: 16_000,
      })),
    answer: (reports) => {
      const hosts = reports.map(({ detection }) => detection.hosts)
      const p99Ms = Math.max(...hosts.map((kind) => kind?.noticed.p99 ?? Infinity))
      const unaware = sum(reports, ({ detection }) => detection.deaths.reduce((all, death) => all + death.unaware, 0))
      const slowest = Math.max(...hosts.map((kind) => kind?.noticed.max ?? Infinity))
      return {
        shown: inSeconds(p99Ms),
        isMet: p99Ms <= NOTICED_P99_MS_MAX && unaware === 0,
        more: `the slowest ${inSeconds(slowest)}; ${unaware} never noticed`,
      }
    },
  },
  traffic(1_000, 60),
  {
    name: '100 members, age of load reports, median / 99th percentile',
    target: '≤ 0.8 s / 2 s',
    wanted: {},
    specs: (effort) =>
      seeds(effort, LARGE_SEEDS_MAX).map((seed) => ({ members: 100, seed, durationMs: 30_000, arrivals: 'uniform' })),
    answer: (reports) => {
      const median = Math.max(...reports.map(({ reportAge }) => reportAge.median))
      const p99 = Math.max(...reports.map(({ reportAge }) => reportAge.p99))
      return {
        shown: `${inSeconds(median)} / ${inSeconds(p99)}`,
        isMet: median <= AGE_MEDIAN_MS_MAX && p99 <= AGE_P99_MS_MAX,
        more: `at most ${inSeconds(Math.max(...reports.map(({ reportAge }) => reportAge.max)))}`,
      }
    },
  },
  traffic(100, 15),
  stalls(50, 0.01),
  stalls(5, 0),
  traffic(5, 3),
]

/** `open`: too little was simulated to say that it is met. */
export function verdictOf(question: Question, effort: Effort, isMet: boolean): 'met' | 'missed' | 'open' {
  if (!isMet) return 'missed'
  const { seeds: seedsWanted = 0, minutes = 0 } = question.wanted
  return effort.seeds >= seedsWanted && effort.minutes >= minutes ? 'met' : 'open'
}

function sum<T>(list: readonly T[], of: (item: T) => number): number {
  return list.reduce((total, item) => total + of(item), 0)
}

function inSeconds(ms: number): string {
  return `${(ms / 1_000).toFixed(2)} s`
}
