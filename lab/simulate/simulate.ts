/**
 * `simulate(spec)`: the whole of it, for the command line and for benchmarks. One run for each policy; several are
 * shared out to worker threads, and so is a large one, which changes nothing but the time it takes.
 */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { PolicyName } from '../../policy/types.ts'
import type { RunReport, SimulationReport } from './report.ts'
import { paceFor } from './routing-tables.ts'
import { runSimulation } from './run.ts'
import type { Progress } from './run.ts'
import { LARGE_MEMBERS, simulationSpec } from './spec.ts'
import type { SimulationSpec } from './spec.ts'

/** What a worker is given, and what it says. */
export interface WorkerTask {
  spec: SimulationSpec
  /** Undefined: no flows. */
  policy: PolicyName | undefined
}
export type WorkerWord = { type: 'progress'; done: number } | { type: 'report'; report: RunReport }

/**
 * Room for young objects, of which two thirds are in use by turns. With Node's 48 MB a thousand members have the
 * collector copy what waits in timers and in the network several times a second, and half of that is over before it is
 * looked at in a heap of this size. Only a thread's can be chosen from within the process.
 */
const YOUNG_HEAP_MB = 192

/** Type stripping does not touch URLs: in a checkout the worker is a .ts file, in a build a .js file. */
const WORKER_URL = new URL(
  import.meta.url.endsWith('.ts') ? '../simulate-main.ts' : '../simulate-main.js',
  import.meta.url,
)

/**
 * @param progress called with the share of all runs that is done
 * @throws LabError E_LAB_SPEC that names the option that is wrong
 */
export async function simulate(
  options: Partial<SimulationSpec> = {},
  progress: Progress = () => {},
): Promise<SimulationReport> {
  const spec = simulationSpec(options)
  const policies = spec.arrivals === 'none' ? [undefined] : spec.policies
  const runs =
    policies.length > 1 || spec.members >= LARGE_MEMBERS
      ? await inWorkers(spec, policies, progress)
      : [await runSimulation(spec, policies[0], progress)]
  const { flows: _, ...membership } = runs[0]!
  return {
    spec,
    ...membership,
    tablePace: paceFor(spec.members),
    policies: runs.flatMap(({ flows }) => (flows === undefined ? [] : [flows])),
  }
}

async function inWorkers(
  spec: SimulationSpec,
  policies: readonly WorkerTask['policy'][],
  progress: Progress,
): Promise<RunReport[]> {
  const reports: RunReport[] = []
  const done = policies.map(() => 0)
  let next = 0
  const work = async (): Promise<void> => {
    for (let place = next++; place < policies.length; place = next++) {
      reports[place] = await inWorker({ spec, policy: policies[place] }, (share) => {
        done[place] = share
        progress(done.reduce((sum, value) => sum + value, 0) / policies.length)
      })
    }
  }
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), policies.length) }, work))
  return reports
}

function inWorker(task: WorkerTask, progress: Progress): Promise<RunReport> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(WORKER_URL, {
      workerData: task,
      name: `dpr-simulate-${task.policy ?? 'membership'}`,
      ...(task.spec.members < LARGE_MEMBERS ? {} : { resourceLimits: { maxYoungGenerationSizeMb: YOUNG_HEAP_MB } }),
    })
    worker.on('message', (word: WorkerWord) => {
      if (word.type === 'report') resolve(word.report)
      else progress(word.done)
    })
    worker.on('error', reject)
    worker.on('exit', () => reject(new Error('a simulation ended without a report')))
  })
}
