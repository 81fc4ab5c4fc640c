/**
 * Hundreds of random histories: members stall, crash, leave and come back, the network is cut, heals and loses packets.
 * After each step and at the end the invariants of swarm-invariants.ts must hold. One command replays a failure:
 *
 *     SWARM_SEED=123 npx vitest run test/sim/swarm.test.ts
 *
 * SWARM_COUNT=5000 runs more of them, from SWARM_SEED on.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { lanConfig } from '../../gossip/config.ts'
import { noticedMs, recoveredMs } from './swarm-invariants.ts'
import type { SwarmReport } from './swarm-main.ts'
import { shortest } from './swarm-run.ts'
import { scheduleOf, told } from './swarm-schedule.ts'
import type { Step } from './swarm-schedule.ts'

const SEED = Number(process.env['SWARM_SEED'] ?? 20_261)
/** A seed alone asks for that one history. */
const COUNT = Number(process.env['SWARM_COUNT'] ?? (process.env['SWARM_SEED'] === undefined ? 300 : 1))
const PROCESSES = Math.min(2, COUNT)
const TIMEOUT_MS = 300_000 + COUNT * 1_000

function swarm(seed: number, count: number): Promise<SwarmReport> {
  const argv = [
    '--disable-warning=ExperimentalWarning',
    join(import.meta.dirname, 'swarm-main.ts'),
    `${seed}`,
    `${count}`,
  ]
  return new Promise((resolve, reject) => {
    execFile(process.execPath, argv, { timeout: TIMEOUT_MS }, (error, stdout, stderr) => {
      try {
        resolve(JSON.parse(stdout) as SwarmReport)
      } catch {
        reject(new Error(`no report from seed ${seed} on: ${stderr || error?.message}`))
      }
    })
  })
}

test(
  'whatever happens, the dead are noticed, the living recover, and views converge',
  async () => {
    const share = Math.ceil(COUNT / PROCESSES)
    const reports = await Promise.all(
      Array.from({ length: PROCESSES }, (_, i) => swarm(SEED + i * share, Math.min(share, COUNT - i * share))),
    )
    const failures = reports.flatMap((report) => report.failures)
    const shown = failures.map((failure) => {
      const replay = `SWARM_SEED=${failure.seed} npx vitest run test/sim/swarm.test.ts`
      return `${failure.what}\n${failure.told}\nagain: ${replay}`
    })
    expect(shown.join('\n\n')).toBe('')
    expect(reports.reduce((sum, { histories }) => sum + histories, 0)).toBe(COUNT)
  },
  TIMEOUT_MS,
)

test('the bounds are what the configuration promises, not more', () => {
  expect(noticedMs(lanConfig(), 5)).toBeLessThan(15_000)
  expect(noticedMs(lanConfig(), 12)).toBeLessThan(18_000)
  expect(recoveredMs(lanConfig(), 12)).toBeLessThan(13_000)
})

test('a seed makes the same history every time', () => {
  expect(told(scheduleOf(7))).toBe(told(scheduleOf(7)))
  expect(told(scheduleOf(7))).not.toBe(told(scheduleOf(8)))
})

test('of a history that fails, the steps remain that make it fail', async () => {
  const { steps } = scheduleOf(3)
  const wrong = { act: { type: 'restart', member: 99 }, thenMs: 10 } as const
  const schedule = { ...scheduleOf(3), members: 3, steps: [...steps.slice(0, 2), wrong, ...steps.slice(2, 4)] }
  const found = await shortest({ ...schedule, steps: schedule.steps.map((step) => onlyMembers(step, 3)) })
  expect(found.steps).toEqual([wrong])
})

/** Acts on nobody else, but for the one that is meant to fail. */
function onlyMembers(step: Step, members: number): Step {
  return 'member' in step.act && step.act.member >= members && step.act.member !== 99
    ? { ...step, act: { type: 'heal' } }
    : step
}
