/** A load generator whose lines a test keeps: what failed and when, and how long-lived flows fared. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lab } from '../../lab/lab.ts'
import { startLoad, type LoadProcess } from '../../lab/load-process.ts'
import type { FlowsReport, LoadFailure, LoadSecond, LoadSummary } from '../../lab/load-report.ts'

export interface RecordedLoad {
  readonly process: LoadProcess
  readonly seconds: LoadSecond[]
  readonly failures: LoadFailure[]
  readonly flows: FlowsReport[]
  summary: LoadSummary | undefined
  /** Tells it to start nothing new and waits for its last words, at most so long. */
  end(timeoutMs?: number): Promise<void>
}

export function recordLoad(lab: Lab, args: readonly string[]): RecordedLoad {
  const recorded: RecordedLoad = {
    seconds: [],
    failures: [],
    flows: [],
    summary: undefined,
    process: startLoad(lab, args, (line) => {
      if (line.type === 'second') recorded.seconds.push(line)
      else if (line.type === 'failure') recorded.failures.push(line)
      else if (line.type === 'summary') recorded.summary = line
      else if (line.type !== 'answer') recorded.flows.push(line)
    }),
    end: (timeoutMs = 20_000) => recorded.process.stop(timeoutMs),
  }
  return recorded
}

/** Polls a condition; a false or throwing one is tried again until the deadline. Returns how long it took, ms. */
export async function eventually(what: string, condition: () => Promise<boolean>, timeoutMs: number): Promise<number> {
  const started = performance.now()
  let last: unknown
  for (;;) {
    try {
      if (await condition()) return performance.now() - started
    } catch (error) {
      last = error
    }
    if (performance.now() - started > timeoutMs) {
      throw new Error(`${what}: not within ${timeoutMs} ms`, { cause: last })
    }
    await sleep(25)
  }
}
