/**
 * A daemon that was stopped for a while acts on an old view: it must doubt itself first. Two hosts; the daemon of one is
 * stopped as a debugger or a starved machine would stop it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Lab } from '../../lab/lab.ts'
import { labDown, labUp } from '../../lab/up.ts'
import { agreed, eventually, logLines } from './hosts.ts'

const NAME = `stall${process.pid}`
/** Above half the minimum suspicion, and above the lease of the engine. */
const STALL_MS = 2_000
let lab: Lab

beforeAll(async () => {
  lab = await labUp({ name: NAME, segments: 1, hostsPerSegment: 2, policy: 'router' })
})
afterAll(() => labDown(NAME))

async function stall(host: string): Promise<void> {
  await lab.killDaemon(host, 'SIGSTOP')
  await sleep(STALL_MS)
  await lab.killDaemon(host, 'SIGCONT')
}

describe('a daemon that was stopped for two seconds', () => {
  it('doubts itself while it hears nobody: announces nothing, keeps new flows; then goes on alone', async () => {
    await lab.killHost('h1')
    await stall('h1')
    const doubting = await eventually(
      'h1',
      () => lab.status('h1'),
      ({ unsure }) => unsure,
    )
    expect(doubting).toMatchObject({ announces: [], localLimit: null })
    const sure = await eventually(
      'h1',
      () => lab.status('h1'),
      ({ unsure }) => !unsure,
    )
    expect(sure.announces).toEqual(lab.host('h1').published)
    await lab.restoreHost('h1')
    await agreed(lab, ['h1', 'h2'])
  })

  it('is sure again with the first answer, and has accused nobody', async () => {
    const since = logLines(lab, 'h1').length
    const before = await lab.status('h1')
    await stall('h1')
    await agreed(lab, ['h1', 'h2'])
    const after = await eventually(
      'h1',
      () => lab.status('h1'),
      ({ unsure }) => !unsure,
    )
    // One snapshot in doubt, one without.
    expect(after.snapshotVersion).toBeGreaterThanOrEqual(before.snapshotVersion + 2)
    expect(after).toMatchObject({ announces: before.announces, localLimit: before.localLimit })
    const deaths = logLines(lab, 'h1')
      .slice(since)
      .filter(({ status }) => status === 'dead')
    expect(deaths).toEqual([])
  })
})
