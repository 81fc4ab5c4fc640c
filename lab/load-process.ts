/**
 * A load generator at work in a lab's client namespace: started, listened to line by line, stopped.
 */
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { LabError } from './errors.ts'
import type { Lab } from './lab.ts'
import type { LoadLine } from './load-report.ts'
import { loadCommand } from './programs.ts'

/** Of its error output, kept for the message. */
const STDERR_CHARACTERS_MAX = 2_000

export interface LoadProcess {
  /** Resolves when it has ended by itself or after `stop`; rejects with E_LAB_LOAD if it failed. */
  readonly done: Promise<void>
  /**
   * Tells it to start nothing new, waits for the summary; past the time it is killed. Resolves even then, so that a
   * caller can always clean up.
   */
  stop(timeoutMs: number): Promise<void>
}

/**
 * Starts it.
 * @param args those of load-main.ts
 * @param onLine hears every line
 */
export function startLoad(lab: Lab, args: readonly string[], onLine: (line: LoadLine) => void): LoadProcess {
  const child = lab.spawn('client', loadCommand(args), ['ignore', 'pipe', 'pipe'])
  let stderr = ''
  child.stderr!.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString()).slice(-STDERR_CHARACTERS_MAX)
  })
  createInterface({ input: child.stdout! }).on('line', (text) => onLine(JSON.parse(text) as LoadLine))
  let stopped = false
  const done = once(child, 'close').then(([code]) => {
    if (code === 0 || stopped) return
    const remedy = 'see lab/load-main.ts for what it takes'
    throw new LabError('E_LAB_LOAD', `the load generator ended (${code}): ${stderr.trim()}`, remedy)
  })
  // A failure that nobody awaits yet must not end the process.
  done.catch(() => undefined)
  return {
    done,
    stop: async (timeoutMs) => {
      if (child.exitCode !== null || child.signalCode !== null) return
      stopped = true
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
      await done.catch(() => undefined)
      clearTimeout(timer)
    },
  }
}
