/**
 * Does anybody alive get declared dead while every host loses 15 % of all packets that reach it? Five hosts, nothing
 * fails, for some minutes. Deaths are read from every daemon's log, which holds all changes of status, however short,
 * so nothing falls between two questions.
 */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import type { Lab } from '../../lab/lab.ts'
import { members, untilWhole, withFiveMembers } from './detect-lab.ts'
import { lossCounts, lossProblems, withLoss } from './loss.ts'
import type { LossCount } from './loss.ts'
import type { BenchResult, Row, Section } from './report.ts'
import { count } from './report.ts'
import { pause } from './run-context.ts'
import type { RunContext } from './run-context.ts'

/** Below this the absence of deaths is a look, not a result. */
const MINUTES_WANTED = 10
const SAY_EVERY_MS = 60_000
const LOG_BYTES_MAX = 64 * 1024 * 1024

export interface StatusChange {
  observer: string
  member: string
  status: string
  /** Wall clock of the log line, ms. */
  atMs: number
}

export interface Calm {
  minutes: number
  changes: StatusChange[]
  loss: LossCount[]
  /** Daemons whose logs have holes: what is missing might have been a death. */
  incomplete: string[]
}

interface Reading {
  changes: StatusChange[]
  incomplete: string[]
}

export async function benchCalm(context: RunContext): Promise<BenchResult> {
  return withFiveMembers(context, async (lab) => {
    const names = members(lab)
    const offsets = new Map(names.map((name) => [name, logSize(lab, name)]))
    const calm = await withLoss(lab, names, async (): Promise<Calm> => {
      const startedMs = performance.now()
      const untilMs = startedMs + context.options.minutes * 60_000
      while (performance.now() < untilMs) {
        await pause(context, Math.min(SAY_EVERY_MS, untilMs - performance.now()))
        const dead = readLogs(lab, offsets).changes.filter(({ status }) => status === 'dead').length
        context.say(`  after ${minutesSince(startedMs).toFixed(1)} minutes: ${dead} deaths`)
      }
      const minutes = minutesSince(startedMs)
      return { minutes, ...readLogs(lab, offsets), loss: await lossCounts(lab, names) }
    })
    // Whoever ended, or was never heard again, would have passed for calm.
    await untilWhole(context, lab)
    return { sections: [calmSection(calm)], raw: calm }
  })
}

function minutesSince(startedMs: number): number {
  return (performance.now() - startedMs) / 60_000
}

function logSize(lab: Lab, name: string): number {
  return statSync(lab.paths(name).daemonLog).size
}

function readLogs(lab: Lab, offsets: ReadonlyMap<string, number>): Reading {
  const logs = [...offsets].map(([name, offset]) => [name, readFrom(lab.paths(name).daemonLog, offset)] as const)
  return {
    changes: logs.flatMap(([name, log]) => parseChanges(name, log)),
    incomplete: logs.filter(([, log]) => log.includes('"log-lines-dropped"')).map(([name]) => name),
  }
}

function readFrom(path: string, offset: number): string {
  const file = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(Math.min(LOG_BYTES_MAX, fstatSync(file).size - offset))
    readSync(file, bytes, 0, bytes.length, offset)
    return bytes.toString()
  } finally {
    closeSync(file)
  }
}

/** The changes of status in a daemon's log; lines that are cut off or no JSON are none. */
export function parseChanges(observer: string, log: string): StatusChange[] {
  return log.split('\n').flatMap((line) => {
    if (!line.includes('"member-status"')) return []
    try {
      const { event, member, status, time } = JSON.parse(line) as Record<string, unknown>
      if (event !== 'member-status' || typeof member !== 'string' || typeof status !== 'string') return []
      return [{ observer, member, status, atMs: Date.parse(String(time)) }]
    } catch {
      return []
    }
  })
}

export function calmSection({ minutes, changes, loss, incomplete }: Calm): Section {
  const times = (status: string): number => changes.filter((change) => change.status === status).length
  const problems = [...lossProblems(loss), ...incomplete.map((name) => `the log of ${name} has holes`)]
  const deaths = times('dead')
  const verdict = deaths > 0 ? 'missed' : minutes >= MINUTES_WANTED ? 'met' : 'open'
  const row: Row =
    problems.length > 0
      ? { name: 'five members, 15 % loss', refused: problems }
      : {
          name: 'five members, 15 % loss',
          cells: ['0', count(deaths), verdict, minutes.toFixed(1), count(times('suspect')), shownLoss(loss)],
        }
  const wrong = changes.filter(({ status }) => status === 'dead')
  return {
    title: 'Living members declared dead while 15 % of all packets are lost',
    how: 'Read from the logs of all five daemons. Nothing fails; every host drops 15 % of the frames that reach it.',
    columns: ['target', 'deaths', 'verdict', 'minutes', 'suspicions', 'really lost'],
    rows: [row],
    remarks: [...new Set(wrong.map(({ observer, member }) => `${observer} took ${member} for dead`))],
  }
}

function shownLoss(loss: readonly LossCount[]): string {
  const sum = (of: (one: LossCount) => number): number => loss.reduce((total, one) => total + of(one), 0)
  return `${((100 * sum(({ dropped }) => dropped)) / sum(({ arrived }) => arrived)).toFixed(1)} % of ${count(sum(({ arrived }) => arrived))}`
}
