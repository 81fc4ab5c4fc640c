/**
 * A share of the swarm, in a process of its own: so many histories from one seed on.
 *
 *     node test/sim/swarm-main.ts SEED COUNT
 *
 * Prints one line of JSON, a `SwarmReport`.
 */
import { shortest, violationOf } from './swarm-run.ts'
import { scheduleOf, told } from './swarm-schedule.ts'

export interface SwarmReport {
  histories: number
  steps: number
  /** Those in which something did not hold; the shortest history that still fails is told. */
  failures: { seed: number; what: string; told: string }[]
}

/** To find the shortest history takes a while; after so many there is enough to look at. */
const FAILURES_MAX = 3

const [seed, count] = process.argv.slice(2).map(Number) as [number, number]
const report: SwarmReport = { histories: 0, steps: 0, failures: [] }
for (let at = seed; at < seed + count && report.failures.length < FAILURES_MAX; at++) {
  const schedule = scheduleOf(at)
  const violation = await violationOf(schedule)
  report.histories++
  report.steps += schedule.steps.length
  if (violation !== undefined) {
    report.failures.push({ seed: at, what: violation.what, told: told(await shortest(schedule)) })
  }
}
console.log(JSON.stringify(report))
