/** What every benchmark is given, and how it waits: whatever takes time ends when the run is told to end. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Options } from './options.ts'

export interface RunContext {
  options: Options
  /** Aborted by Ctrl-C, SIGTERM and SIGHUP. */
  signal: AbortSignal
  /** Progress, a line at a time; not part of the result. */
  say: (line: string) => void
}

export async function pause(context: RunContext, ms: number): Promise<void> {
  await sleep(ms, undefined, { signal: context.signal })
}

/** Rejects when the run is told to end, whatever becomes of the work; who started that ends it. */
export async function unlessEnded<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  signal.throwIfAborted()
  let onAbort: (() => void) | undefined
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason as Error)
    signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    return await Promise.race([work, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort!)
    work.catch(() => undefined)
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
