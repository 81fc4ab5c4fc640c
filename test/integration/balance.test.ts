/**
 * The default policy on a real cluster: nothing is redirected while this host is at or below the average, and above it
 * the active flows even out, although all clients use one address.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Lab } from '../../lab/lab.ts'
import { labDown, labUp } from '../../lab/up.ts'
import { eventually, recordLoad } from '../fault/load.ts'

const name = `bal${process.pid}`
/** Mean holding time of a request, exponentially distributed; with this rate 1,000 flows are active on average. */
const HOLD_MS = 4_000
const RATE = 250
const WARM_UP_MS = 20_000
const MEASURE_MS = 60_000
const SAMPLE_MS = 250

let lab: Lab
const hosts = (): string[] => lab.hosts.map((host) => host.name)
const urls = (names: string[]): string[] => names.flatMap((host) => ['--url', `http://${lab.host(host).published[0]}`])

beforeAll(async () => {
  lab = await labUp({ name })
})
afterAll(() => labDown(name))

it('redirects nothing below the minimum load, however idle the others are', async () => {
  const load = recordLoad(lab, ['open', ...urls(['h1']), '--rate', '30', '--hold-ms', '500', '--duration-s', '8'])
  await load.process.done
  expect(load.summary!.failed).toBe(0)
  expect(load.summary!.byHost).toEqual({ h1: load.summary!.answered })
  const { counters } = await lab.status('h1')
  expect([counters.redirected, counters.local >= load.summary!.answered]).toEqual([0, true])
})

it('redirects next to nothing while everybody has the average', async () => {
  const before = await Promise.all(hosts().map((host) => lab.status(host)))
  const args = ['--rate', '160', '--hold-ms', '2500', '--duration-s', '25', '--timeout-ms', '30000']
  const load = recordLoad(lab, ['open', ...urls(hosts()), ...args])
  await load.process.done
  expect(load.summary!.failed).toBe(0)
  const after = await Promise.all(hosts().map((host) => lab.status(host)))
  const redirected = after.reduce(
    (sum, { counters }, i) => sum + counters.redirected - before[i]!.counters.redirected,
    0,
  )
  // 100 flows a host: chance alone moves a few; one in ten would mean that the tolerance does not work.
  expect(redirected / load.summary!.answered).toBeLessThan(0.1)
})

it('evens out what all arrives at one host: largest/mean ≤ 1.2 over a minute', async () => {
  const seconds = (WARM_UP_MS + MEASURE_MS) / 1_000 + 20
  const args = ['--rate', String(RATE), '--hold-ms', String(HOLD_MS), '--duration-s', String(seconds)]
  const load = recordLoad(lab, ['open', ...urls(['h1']), ...args, '--timeout-ms', '120000'])
  const activeFlows = async (): Promise<number[]> =>
    (await Promise.all(hosts().map((host) => lab.status(host)))).map((status) => status.activeFlows)
  await sleep(WARM_UP_MS)
  await eventually('200 flows a host', async () => (await activeFlows()).reduce((a, b) => a + b, 0) >= 800, 20_000)
  const ratios: number[] = []
  const sums = [0, 0, 0, 0]
  for (const until = performance.now() + MEASURE_MS; performance.now() < until; await sleep(SAMPLE_MS)) {
    const active = await activeFlows()
    const mean = active.reduce((a, b) => a + b, 0) / active.length
    ratios.push(Math.max(...active) / mean)
    active.forEach((count, i) => (sums[i]! += count))
  }
  const average = ratios.reduce((a, b) => a + b, 0) / ratios.length
  const perHost = sums.map((sum) => Math.round(sum / ratios.length))
  console.log(
    `largest/mean, time average of ${ratios.length} samples: ${average.toFixed(3)}; flows per host ${perHost.join(', ')}`,
  )
  // The longest of thousands of exponential holding times is some ten times the mean.
  await load.end(20 * HOLD_MS)
  expect(ratios.length).toBeGreaterThan(60)
  expect(
    perHost.reduce((a, b) => a + b, 0),
    `flows per host ${perHost.join(', ')}`,
  ).toBeGreaterThan(800)
  expect(average).toBeLessThanOrEqual(1.2)
  expect(load.summary!.failed).toBe(0)
})
