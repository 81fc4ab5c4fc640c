/**
 * What the load generator says about its work: JSON lines, one a second, one for each failure, one at the end. Types
 * for the readers (demo, tests, benchmarks) and the counting behind them; no sockets here.
 */
import { build } from 'hdr-histogram-js'
import type { Histogram } from 'hdr-histogram-js'

/** Latencies beyond this count as this, µs. */
const LATENCY_US_MAX = 120_000_000
/** Failures that get a line of their own; all are counted. */
const FAILURE_LINES_MAX = 10_000
/** Distinct hosts and kinds of errors that are told apart; the rest is `other`. */
const LABELS_MAX = 64

export interface LatencyMs {
  count: number
  p50: number
  p90: number
  p99: number
  max: number
}

interface LoadCounts {
  started: number
  answered: number
  failed: number
  /** Answers by the host that gave them. */
  byHost: Record<string, number>
  /** Failures by kind: ECONNRESET, timeout, status-503, … */
  errors: Record<string, number>
  /**
   * Time from the moment a request was due (open model; so a stalled generator or server cannot hide requests that
   * should have been sent: coordinated omission) or was sent (closed model) to the end of its answer, without the
   * service time that it asked for.
   */
  latencyMs: LatencyMs
}

/** What happened in one second. A request counts as started then, and as answered or failed when that happens. */
export interface LoadSecond extends LoadCounts {
  type: 'second'
  /** 1 for the first. */
  second: number
  inFlight: number
}

/** One failed request. Times are milliseconds since the epoch. */
export interface LoadFailure {
  type: 'failure'
  startedMs: number
  failedMs: number
  kind: string
  /** Which host served it, if its headers had arrived. */
  host: string | null
}

export interface LoadSummary extends LoadCounts {
  type: 'summary'
  durationMs: number
}

/** One second, or all (`summary`), of the `flows` mode: long-lived connections that exchange verified bytes. */
export interface FlowsReport {
  type: 'flows' | 'flows-summary'
  second: number
  opened: number
  open: number
  /** Connections by the host that holds them, the broken ones included. */
  byHost: Record<string, number>
  /** Connections that ended before they were told to. */
  broken: number
  brokenByHost: Record<string, number>
  /** Connections that stand still: not broken, but their echo is more than two seconds late. */
  stalledByHost: Record<string, number>
  /** Connections on which a wrong byte came back. */
  corrupted: number
  /** Bytes that came back and were right, since the start. */
  verifiedBytes: number
  /** Longest time any connection waited for an echo: in this second, or ever (`flows-summary`). */
  stallMsMax: number
}

/** An address answered (`wait` mode); `host` is null for a server that does not say who it is. */
export interface WaitAnswer {
  type: 'answer'
  url: string
  host: string | null
}

/** Any line the generator writes. */
export type LoadLine = LoadSecond | LoadFailure | LoadSummary | FlowsReport | WaitAnswer

/** Counts requests and renders the lines. Times are arguments, so it runs in virtual time as well. */
export class LoadReport {
  readonly #startMs: number
  #current = new Counter()
  readonly #total = new Counter()
  #second = 0
  #failureLines = 0
  #inFlight = 0

  constructor(startMs: number) {
    this.#startMs = startMs
  }

  get inFlight(): number {
    return this.#inFlight
  }

  get started(): number {
    return this.#total.started + this.#current.started
  }

  start(): void {
    this.#current.started += 1
    this.#inFlight += 1
  }

  answered(host: string, latencyMs: number): void {
    this.#inFlight -= 1
    this.#current.answered += 1
    add(this.#current.byHost, host, 1)
    this.#current.latency.recordValue(Math.min(LATENCY_US_MAX, Math.max(1, Math.round(latencyMs * 1_000))))
  }

  /** The line to write, or undefined once there have been too many. */
  failed(failure: Omit<LoadFailure, 'type'>): LoadFailure | undefined {
    this.#inFlight -= 1
    this.#current.failed += 1
    add(this.#current.errors, failure.kind, 1)
    this.#failureLines += 1
    return this.#failureLines <= FAILURE_LINES_MAX ? { type: 'failure', ...failure } : undefined
  }

  /** Ends the running second. */
  second(): LoadSecond {
    const line = {
      type: 'second' as const,
      second: ++this.#second,
      inFlight: this.#inFlight,
      ...this.#current.counts(),
    }
    this.#total.addAll(this.#current)
    this.#current = new Counter()
    return line
  }

  summary(nowMs: number): LoadSummary {
    this.#total.addAll(this.#current)
    this.#current = new Counter()
    return { type: 'summary', durationMs: Math.round(nowMs - this.#startMs), ...this.#total.counts() }
  }
}

class Counter {
  started = 0
  answered = 0
  failed = 0
  readonly byHost: Record<string, number> = {}
  readonly errors: Record<string, number> = {}
  readonly latency: Histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: LATENCY_US_MAX,
    numberOfSignificantValueDigits: 3,
    bitBucketSize: 32,
  })

  addAll(other: Counter): void {
    this.started += other.started
    this.answered += other.answered
    this.failed += other.failed
    for (const [host, count] of Object.entries(other.byHost)) add(this.byHost, host, count)
    for (const [kind, count] of Object.entries(other.errors)) add(this.errors, kind, count)
    this.latency.add(other.latency)
  }

  counts(): LoadCounts {
    const { started, answered, failed, byHost, errors } = this
    return {
      started,
      answered,
      failed,
      byHost: { ...byHost },
      errors: { ...errors },
      latencyMs: latencyOf(this.latency),
    }
  }
}

function latencyOf(histogram: Histogram): LatencyMs {
  const ms = (microseconds: number) => (histogram.totalCount === 0 ? 0 : microseconds / 1_000)
  return {
    count: histogram.totalCount,
    p50: ms(histogram.getValueAtPercentile(50)),
    p90: ms(histogram.getValueAtPercentile(90)),
    p99: ms(histogram.getValueAtPercentile(99)),
    max: ms(histogram.maxValue),
  }
}

/** Adds to one label's count; labels come from the network, so their number is bounded. */
export function add(counts: Record<string, number>, label: string, count: number): void {
  const known = label in counts || Object.keys(counts).length < LABELS_MAX
  const key = known ? label : 'other'
  counts[key] = (counts[key] ?? 0) + count
}
