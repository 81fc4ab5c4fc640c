/**
 * Membership at sizes that no machine here can hold, in virtual time: false deaths, detection, traffic and the age of
 * load reports, each in both models of the network (docs/decisions/0022). Runs are shared out to one process for each
 * core; virtual time does not mind the other. The largest ones come first, so that no core waits long for the other.
 */
import { availableParallelism } from 'node:os'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { plot } from '../../lab/simulate/plot.ts'
import type { SimulationReport } from '../../lab/simulate/report.ts'
import { MODELS } from '../../lab/simulate/spec.ts'
import type { SimulationSpec } from '../../lab/simulate/spec.ts'
import { Child } from './child.ts'
import type { BenchResult, Row, Section } from './report.ts'
import { messageOf } from './run-context.ts'
import type { RunContext } from './run-context.ts'
import type { FromSimulator, ToSimulator } from './simulation-messages.ts'
import { QUESTIONS, verdictOf } from './simulation-rows.ts'
import type { Question } from './simulation-rows.ts'

/** For one run; a thousand members for ten virtual minutes take a good part of it. */
const RUN_TIMEOUT_MS = 4 * 3_600_000
const PROCESSES_MAX = 2
/** Series are for plots; in the raw results they would take megabytes. */
const SERIES: ReadonlySet<string> = new Set(['distribution', 'series', 'redirectedSeries'])

type Model = (typeof MODELS)[number]

interface Job {
  question: Question
  model: Model
  spec: Partial<SimulationSpec>
  report?: SimulationReport
  failure?: string
}

export async function benchSimulation(context: RunContext): Promise<BenchResult> {
  const effort = context.options
  const jobs = QUESTIONS.flatMap((question) =>
    question
      .specs(effort)
      .filter(({ members = 0 }) => members <= effort.members)
      .flatMap((spec) => MODELS.map((model): Job => ({ question, model, spec: { ...spec, network: model } }))),
  )
  await runAll(context, jobs)
  if (context.options.plots !== undefined) writePlots(context.options.plots, jobs)
  const raw = jobs.map(({ question, report, failure }) => ({ question: question.name, report, failure }))
  return { sections: [sectionOf(jobs, effort)], raw: JSON.parse(JSON.stringify(raw, withoutSeries)) as unknown }
}

async function runAll(context: RunContext, jobs: readonly Job[]): Promise<void> {
  let next = 0
  let done = 0
  const work = async (): Promise<void> => {
    const child = new Child<ToSimulator, FromSimulator>('simulation-main', context.signal)
    try {
      for (let job = jobs[next++]; job !== undefined; job = jobs[next++]) {
        const startedMs = performance.now()
        await runOne(child, job)
        const took = ((performance.now() - startedMs) / 1_000).toFixed(1)
        context.say(
          `  ${++done} of ${jobs.length} (${took} s): ${job.question.name}, ${job.model}, seed ${job.spec.seed}`,
        )
      }
    } finally {
      await child.end()
    }
  }
  await Promise.all(Array.from({ length: Math.min(PROCESSES_MAX, availableParallelism()) }, work))
}

async function runOne(child: Child<ToSimulator, FromSimulator>, job: Job): Promise<void> {
  child.send({ type: 'simulate', spec: job.spec })
  try {
    const { report } = await child.receive('report', RUN_TIMEOUT_MS)
    if (report.formedAfterMs === null) job.failure = `seed ${report.spec.seed}: the cluster never formed`
    job.report = report
  } catch (error) {
    job.failure = messageOf(error)
    // A worker that failed once is not to be trusted with the rest.
    throw error
  }
}

export function sectionOf(jobs: readonly Job[], effort: { seeds: number; minutes: number }): Section {
  const rows = QUESTIONS.toReversed().flatMap((question) =>
    MODELS.map((model): Row => {
      const name = `${question.name} [${model}]`
      const own = jobs.filter((job) => job.question === question && job.model === model)
      const problems = own.flatMap(({ failure }) => failure ?? [])
      if (problems.length > 0) return { name, refused: problems }
      if (own.length === 0) return { name, cells: [question.target, 'not simulated', 'open', '0', ''] }
      const reports = own.flatMap(({ report }) => report ?? [])
      const { shown, isMet, more } = question.answer(reports)
      return { name, cells: [question.target, shown, verdictOf(question, effort, isMet), `${reports.length}`, more] }
    }),
  )
  return {
    title: 'Simulated members, in virtual time',
    how: 'The daemon’s own membership over a simulated network: streams as TCP behaves, or datagrams that are lost one by one.',
    columns: ['target', 'measured', 'verdict', 'runs', 'besides'],
    rows,
    remarks: [
      `verdicts on stalls need 100 seeds, on deaths per member-hour 10 minutes; these are ${effort.seeds} and ${effort.minutes}`,
    ],
  }
}

/** The first run of each question, in each model. */
function writePlots(directory: string, jobs: readonly Job[]): void {
  mkdirSync(directory, { recursive: true })
  for (const question of QUESTIONS) {
    for (const model of MODELS) {
      const first = jobs.find((job) => job.question === question && job.model === model)?.report
      if (first === undefined) continue
      writeFileSync(join(directory, `${fileName(question.name)}-${model}.svg`), plot(first))
    }
  }
}

export function fileName(text: string): string {
  const words =
    text
      .toLowerCase()
      .replaceAll(/(\d),(\d)/g, '$1$2')
      .match(/[a-z0-9]+/g) ?? []
  return words.slice(0, FILE_WORDS_MAX).join('-')
}

const FILE_WORDS_MAX = 7

function withoutSeries(key: string, value: unknown): unknown {
  return SERIES.has(key) ? undefined : value
}
