/**
 * Prometheus' text format out of the table of metrics. Everything is read when somebody scrapes; between two scrapes
 * nothing is computed, but for one number per round of the control loop.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { LOOP_LATE, METRICS, type MetricRow, type MetricSource, type ProcessFigures } from './metrics-table.ts'

const MICROSECONDS = 1e-6
/** Rounds that wait to be counted together: one by one, each would cost a cold path through the library. */
const LATE_WAITING_MAX = 1_024

export class Metrics {
  readonly contentType: string
  readonly #registry = new Registry()
  readonly #source: () => MetricSource
  readonly #late: Histogram
  #lateWaiting: number[] = []
  #current: MetricSource | undefined

  constructor(source: () => MetricSource) {
    this.#source = source
    this.contentType = this.#registry.contentType
    const { name, help, buckets } = LOOP_LATE
    this.#late = new Histogram({ name, help, buckets: [...buckets], registers: [this.#registry] })
    for (const row of METRICS) this.#register(row)
  }

  /** A round of the control loop began so late. */
  observeLate(seconds: number): void {
    this.#lateWaiting.push(Math.max(0, seconds))
    if (this.#lateWaiting.length >= LATE_WAITING_MAX) this.#countLate()
  }

  async text(): Promise<string> {
    this.#countLate()
    this.#current = this.#source()
    return await this.#registry.metrics()
  }

  #countLate(): void {
    for (const seconds of this.#lateWaiting) this.#late.observe(seconds)
    this.#lateWaiting = []
  }

  #register(row: MetricRow): void {
    const options = { name: row.name, help: row.help, labelNames: row.labels, registers: [] }
    const samples = (): [Record<string, string>, number][] =>
      row
        .read(this.#current!)
        .map(([value, ...labels]) => [Object.fromEntries(labels.map((label, i) => [row.labels[i]!, label])), value])
    if (row.type === 'gauge') {
      const gauge = new Gauge({
        ...options,
        collect() {
          this.reset()
          for (const [labels, value] of samples()) this.set(labels, value)
        },
      })
      this.#registry.registerMetric(gauge)
    } else {
      const counter = new Counter({
        ...options,
        collect() {
          this.reset()
          for (const [labels, value] of samples()) this.inc(labels, value)
        },
      })
      this.#registry.registerMetric(counter)
    }
  }
}

export function processFigures(): ProcessFigures {
  const { user, system } = process.cpuUsage()
  const { rss, heapUsed, heapTotal, external } = process.memoryUsage()
  return {
    userSeconds: user * MICROSECONDS,
    systemSeconds: system * MICROSECONDS,
    residentBytes: rss,
    heapUsedBytes: heapUsed,
    heapTotalBytes: heapTotal,
    externalBytes: external,
    startedSeconds: performance.timeOrigin / 1_000,
  }
}
