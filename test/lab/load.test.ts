/** The load generator's arithmetic: what is due when, how long requests hold, what the lines say. */
import { describe, expect, test } from 'vitest'
import { LabError } from '../../lab/errors.ts'
import { checkLoadPlan, dueBy, exponential, mulberry32 } from '../../lab/load.ts'
import type { LoadPlan } from '../../lab/load.ts'
import { LoadReport, add } from '../../lab/load-report.ts'

describe('the open model', () => {
  test.each([
    ['the first is due at once', 100, 0, 1],
    ['and no other before its time', 100, 9.9, 1],
    ['after a second, rate + 1', 100, 1_000, 101],
    ['slower than one a second', 0.5, 1_999, 1],
    ['a generator that was late owes them all', 1_000, 5_000, 5_001],
  ])('%s', (_, rate, elapsedMs, due) => {
    expect(dueBy(rate, elapsedMs)).toBe(due)
  })

  test('holding times are exponential: mean, share above the mean, bound', () => {
    const random = mulberry32(7)
    const holds = Array.from({ length: 20_000 }, () => exponential(random(), 500))
    const mean = holds.reduce((sum, hold) => sum + hold, 0) / holds.length
    expect(mean).toBeGreaterThan(485)
    expect(mean).toBeLessThan(515)
    const above = holds.filter((hold) => hold > 500).length / holds.length
    expect(Math.abs(above - Math.exp(-1))).toBeLessThan(0.02)
    expect(Math.max(...holds)).toBeLessThanOrEqual(4_000)
    expect(exponential(1 - Number.EPSILON / 2, 500)).toBe(4_000)
  })
})

describe('the lines', () => {
  test('a second counts what happened in it, the summary all', () => {
    const report = new LoadReport(1_000)
    for (let i = 0; i < 4; i++) report.start()
    report.answered('h1', 2)
    report.answered('h2', 4)
    const failure = { startedMs: 5, failedMs: 6, kind: 'ECONNRESET', host: 'h2' }
    expect(report.failed(failure)).toEqual({ type: 'failure', ...failure })
    expect(report.second()).toMatchObject({
      type: 'second',
      second: 1,
      started: 4,
      answered: 2,
      failed: 1,
      inFlight: 1,
      byHost: { h1: 1, h2: 1 },
      errors: { ECONNRESET: 1 },
      latencyMs: { count: 2 },
    })
    report.answered('h1', 6)
    expect(report.second()).toMatchObject({ second: 2, started: 0, answered: 1, failed: 0, inFlight: 0, errors: {} })
    expect(report.summary(3_500)).toMatchObject({
      type: 'summary',
      durationMs: 2_500,
      started: 4,
      answered: 3,
      failed: 1,
      byHost: { h1: 2, h2: 1 },
      errors: { ECONNRESET: 1 },
    })
  })

  test('percentiles are those of the values, within a thousandth', () => {
    const report = new LoadReport(0)
    for (let ms = 1; ms <= 1_000; ms++) {
      report.start()
      report.answered('h1', ms)
    }
    const { count, p50, p90, p99, max } = report.summary(0).latencyMs
    expect(count).toBe(1_000)
    for (const [got, expected] of [
      [p50, 500],
      [p90, 900],
      [p99, 990],
      [max, 1_000],
    ] as const) {
      expect(Math.abs(got - expected)).toBeLessThanOrEqual(expected / 1_000 + 0.001)
    }
  })

  test('an empty second has zeros, not absurd numbers', () => {
    expect(new LoadReport(0).second().latencyMs).toEqual({ count: 0, p50: 0, p90: 0, p99: 0, max: 0 })
  })

  test('labels from the network are bounded', () => {
    const counts: Record<string, number> = {}
    for (let i = 0; i < 1_000; i++) add(counts, `host-${i}`, 1)
    expect(Object.keys(counts).length).toBeLessThanOrEqual(65)
    expect(Object.values(counts).reduce((sum, count) => sum + count, 0)).toBe(1_000)
  })
})

describe('refused loads', () => {
  const good: LoadPlan = {
    model: { kind: 'open', rate: 1 },
    urls: ['http://10.1.0.101/'],
    holdMs: 0,
    durationMs: 1_000,
    count: 1,
    timeoutMs: 1_000,
    seed: 1,
  }
  test.each<[string, Partial<LoadPlan>]>([
    ['no url', { urls: [] }],
    ['a url of another scheme', { urls: ['https://10.1.0.101/'] }],
    ['no number', { model: { kind: 'open', rate: Number.NaN } }],
    ['more clients than it can have', { model: { kind: 'closed', concurrency: 1e6 } }],
    ['for ever', { durationMs: Infinity }],
  ])('%s', (_, change) => {
    expect(checkLoadPlan(good)).toBe(good)
    expect(() => checkLoadPlan({ ...good, ...change })).toThrow(LabError)
  })
})
