/** wrk (Debian): HTTP GETs from one thread and 50 connections for a bounded time, and what it says about them. */
import type { Lab } from '../../lab/lab.ts'
import { unlessEnded } from './run-context.ts'

export const CONNECTIONS = 50
/** Beyond its own time wrk needs some to connect and to report; a run that takes longer is none. */
const OVERTIME_MS = 15_000

export interface WrkResult {
  requests: number
  requestsPerSecond: number
  socketErrors: number
  /** Answers other than 2xx and 3xx. */
  badAnswers: number
}

/** @throws Error on output without figures */
export function parseWrk(output: string): WrkResult {
  const requests = /^\s*(\d+) requests in /m.exec(output)?.[1]
  const rate = /^Requests\/sec:\s+([\d.]+)$/m.exec(output)?.[1]
  if (requests === undefined || rate === undefined) throw new Error(`wrk said: ${output.trim().slice(-400)}`)
  const errors = /^\s*Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)$/m.exec(output)
  return {
    requests: Number(requests),
    requestsPerSecond: Number(rate),
    socketErrors: (errors ?? []).slice(1).reduce((sum, text) => sum + Number(text), 0),
    badAnswers: Number(/^\s*Non-2xx or 3xx responses: (\d+)$/m.exec(output)?.[1] ?? 0),
  }
}

export async function runWrk(
  lab: Lab,
  url: string,
  seconds: number,
  args: readonly string[],
  signal: AbortSignal,
): Promise<WrkResult> {
  const argv = ['wrk', '-t1', `-c${CONNECTIONS}`, `-d${seconds}`, ...args, url]
  const run = lab.exec('client', argv, { timeoutMs: seconds * 1_000 + OVERTIME_MS })
  const { code, stdout, stderr } = await unlessEnded(signal, run)
  if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code}: ${stderr.trim()}`)
  return parseWrk(stdout)
}
