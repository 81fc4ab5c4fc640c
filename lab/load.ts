/**
 * The load models. Open: requests are due at a constant rate whatever the servers do, as from many independent
 * clients, and each holds its connection for an exponentially distributed service time (rate × mean hold = mean number
 * of active flows, Little's law). Closed: N clients, each sends its next request when the last one is answered.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { LabError } from './errors.ts'
import { LoadReport } from './load-report.ts'
import type { LoadLine } from './load-report.ts'
import { requestOnce } from './load-request.ts'

/** Open connections at any time; requests that are due beyond it fail as `overload` and are not sent. */
const IN_FLIGHT_MAX = 20_000
/** How often the open model looks for requests that are due; the latency counts from the due time. */
const TICK_MS = 2
/** The exponential distribution has no end; a lab does: longest hold, in means. */
const HOLD_MEANS_MAX = 8

export interface LoadPlan {
  /** `open`: `rate` requests per second. `closed`: `concurrency` at any time. */
  readonly model:
    { readonly kind: 'open'; readonly rate: number } | { readonly kind: 'closed'; readonly concurrency: number }
  /** Used in turn, as clients of a round-robin DNS name would. */
  readonly urls: readonly string[]
  /** Mean service time, ms; 0 = the URL as it is, else `/hold` of its host. */
  readonly holdMs: number
  readonly durationMs: number
  /** Most requests; the load ends after that many. */
  readonly count: number
  /** For one request, its service time not counted, ms. */
  readonly timeoutMs: number
  /** Of the service times. */
  readonly seed: number
}

/** Two ways to end early: `stop` lets what is under way finish, `abort` does not. */
export interface LoadSignals {
  readonly stop: AbortSignal
  readonly abort: AbortSignal
}

/** @throws LabError E_LAB_LOAD that names the wrong parameter */
export function checkLoadPlan(plan: LoadPlan): LoadPlan {
  const { model } = plan
  if (plan.urls.length === 0) throw invalid('no --url is given')
  for (const url of plan.urls)
    if (!URL.canParse(url) || !url.startsWith('http://')) throw invalid(`${url} is no http URL`)
  if (model.kind === 'open') checkRange('rate', model.rate, 0.1, 50_000)
  else checkRange('concurrency', model.concurrency, 1, IN_FLIGHT_MAX)
  checkRange('hold-ms', plan.holdMs, 0, 600_000)
  checkRange('duration-s', plan.durationMs / 1_000, 0.1, 86_400)
  checkRange('count', plan.count, 1, 1_000_000_000)
  checkRange('timeout-ms', plan.timeoutMs, 1, 600_000)
  return plan
}

export function checkRange(option: string, value: number, min: number, max: number): void {
  if (!(value >= min && value <= max)) throw invalid(`${option} is ${value}; it must be ${min} to ${max}`)
}

function invalid(message: string): LabError {
  return new LabError('E_LAB_LOAD', message, 'correct the parameter')
}

/** Runs a load to its end, writing a line a second and a summary last. */
export async function runLoad(plan: LoadPlan, signals: LoadSignals, emit: (line: LoadLine) => void): Promise<void> {
  const startMs = performance.now()
  const report = new LoadReport(startMs)
  const random = mulberry32(plan.seed)
  const ticker = setInterval(() => emit(report.second()), 1_000)
  let next = 0

  /** @param dueMs when it should have been sent, on the monotonic clock */
  const one = async (dueMs: number): Promise<void> => {
    const holdMs = plan.holdMs === 0 ? 0 : exponential(random(), plan.holdMs)
    const url = requestUrl(plan.urls[next++ % plan.urls.length]!, plan.holdMs === 0 ? undefined : holdMs)
    const startedMs = Date.now()
    const overload = report.inFlight >= IN_FLIGHT_MAX
    report.start()
    const outcome = overload
      ? { ok: false as const, kind: 'overload', host: null }
      : await requestOnce(url, plan.timeoutMs + holdMs, signals.abort)
    if (outcome.ok) report.answered(outcome.host, performance.now() - dueMs - holdMs)
    else {
      const line = report.failed({ startedMs, failedMs: Date.now(), kind: outcome.kind, host: outcome.host })
      if (line !== undefined) emit(line)
    }
  }

  const more = () =>
    !signals.stop.aborted && report.started < plan.count && performance.now() - startMs < plan.durationMs
  try {
    if (plan.model.kind === 'open') await runOpen(plan.model.rate, startMs, plan, signals.stop, one)
    else await runClosed(plan.model.concurrency, more, one)
  } finally {
    clearInterval(ticker)
  }
  emit(report.summary(performance.now()))
}

async function runOpen(
  rate: number,
  startMs: number,
  plan: LoadPlan,
  stop: AbortSignal,
  one: (dueMs: number) => Promise<void>,
): Promise<void> {
  const underWay = new Set<Promise<void>>()
  const total = Math.min(plan.count, Math.ceil((rate * plan.durationMs) / 1_000))
  for (let sent = 0; sent < total && !stop.aborted;) {
    const due = Math.min(total, dueBy(rate, performance.now() - startMs))
    for (; sent < due; sent++) {
      const promise = one(startMs + (sent * 1_000) / rate).finally(() => underWay.delete(promise))
      underWay.add(promise)
    }
    await sleep(TICK_MS)
  }
  await Promise.all(underWay)
}

async function runClosed(
  concurrency: number,
  more: () => boolean,
  one: (dueMs: number) => Promise<void>,
): Promise<void> {
  const client = async () => {
    while (more()) await one(performance.now())
  }
  await Promise.all(Array.from({ length: concurrency }, client))
}

/** How many requests are due after so many milliseconds: the first at 0, then one every 1/rate seconds. */
export function dueBy(rate: number, elapsedMs: number): number {
  return Math.floor((elapsedMs * rate) / 1_000) + 1
}

/** Inverse transform sampling, whole milliseconds, bounded. @param uniform in [0, 1) */
export function exponential(uniform: number, mean: number): number {
  return Math.round(Math.min(-Math.log(1 - uniform), HOLD_MEANS_MAX) * mean)
}

function requestUrl(text: string, holdMs: number | undefined): URL {
  const url = new URL(text)
  if (holdMs !== undefined) {
    url.pathname = '/hold'
    url.searchParams.set('ms', String(holdMs))
  }
  return url
}

/** A small seeded generator (mulberry32, public domain algorithm): uniform in [0, 1). */
export function mulberry32(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000
  }
}
