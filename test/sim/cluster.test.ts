/** The simulated cluster says what its members say, and the same whenever it is asked with the same seed. */
import { describe, expect, test } from 'vitest'
import { SimulatedCluster } from '../../lab/simulate/cluster.ts'
import type { ClusterSpec } from '../../lab/simulate/cluster.ts'

async function formed(spec: Partial<ClusterSpec> = {}): Promise<SimulatedCluster> {
  const cluster = await SimulatedCluster.create({ seed: 5, members: 5, ...spec })
  cluster.startAll()
  expect(cluster.run(10_000, () => cluster.converged())).toBe(true)
  return cluster
}

describe('the ledger', () => {
  test('agrees with what the members themselves hold, through deaths and returns', async () => {
    const cluster = await formed({ members: 12 })
    const compare = (): void => {
      for (const viewer of cluster.up()) {
        const held = new Map(cluster.members(viewer).map((m) => [cluster.numberOf(m.facts.id), m.status]))
        for (let subject = 0; subject < cluster.size; subject++) {
          expect([viewer, subject, cluster.seen(viewer, subject)]).toEqual([
            viewer,
            subject,
            held.get(subject) ?? 'unknown',
          ])
        }
      }
    }
    cluster.killDaemon(4)
    cluster.crash(5)
    cluster.pause(6, 5_000)
    for (let i = 0; i < 30; i++) {
      cluster.run(300)
      compare()
    }
    cluster.restart(4)
    cluster.start(5)
    expect(cluster.run(10_000, () => cluster.converged())).toBe(true)
    compare()
  })

  test('tells a death from a wrong verdict', async () => {
    const cluster = await formed()
    cluster.crash(1)
    expect(cluster.run(10_000, () => cluster.allSee(1, 'dead'))).toBe(true)
    expect(cluster.wrongDeaths()).toEqual([])
    expect(cluster.ledger.deaths).toMatchObject([{ subject: 1, kind: 'host' }])
    cluster.pause(2, 20_000)
    expect(cluster.run(15_000, () => cluster.seen(0, 2) === 'dead')).toBe(true)
    expect(cluster.wrongDeaths()[0]).toMatchObject({ subject: 2, stalled: true, first: true })
  })

  test('calls nobody wrong who could not know better', async () => {
    const cluster = await formed()
    cluster.partition([0, 1, 2], [3, 4])
    expect(cluster.run(15_000, () => cluster.seen(0, 3) === 'dead' && cluster.seen(3, 0) === 'dead')).toBe(true)
    expect(cluster.wrongDeaths()).toEqual([])
    cluster.heal()
    expect(cluster.run(15_000, () => cluster.converged())).toBe(true)
  })
})

describe('what can happen to a member', () => {
  test.each([
    ['killed', (c: SimulatedCluster) => c.killDaemon(1), 'dead', 300],
    ['without power', (c: SimulatedCluster) => c.crash(1), 'dead', 6_000],
    ['leaving', (c: SimulatedCluster) => c.leave(1), 'left', 2_000],
  ] as const)('%s', async (_, act, status, withinMs) => {
    const cluster = await formed()
    act(cluster)
    expect(cluster.run(withinMs, () => cluster.allSee(1, status))).toBe(true)
    cluster.run(1_500)
    expect(cluster.up()).toEqual([0, 2, 3, 4])
    cluster.start(1)
    expect(cluster.run(15_000, () => cluster.converged())).toBe(true)
  })

  test('members that are introduced know each other like those who found each other', async () => {
    const cluster = await SimulatedCluster.create({ seed: 5, members: 80 })
    cluster.startIntroduced()
    expect(cluster.run(5_000, () => cluster.converged())).toBe(true)
    cluster.run(20_000)
    expect([cluster.converged(), cluster.wrongDeaths()]).toEqual([true, []])
    expect(cluster.members(3)).toHaveLength(80)
  })
})

test('the same seed gives the same run, event for event; another seed another one', async () => {
  const events = async (seed: number): Promise<string> => {
    const cluster = await SimulatedCluster.create({ seed, members: 8, network: { loss: 0.05 } })
    cluster.startAll()
    cluster.run(3_000)
    cluster.killDaemon(3)
    cluster.pause(4, 700)
    cluster.run(5_000)
    const { payloadSent, framesSent } = cluster.traffic()
    return JSON.stringify([cluster.clock.ran, payloadSent, framesSent, cluster.events])
  }
  expect(await events(1)).toBe(await events(1))
  expect(await events(1)).not.toBe(await events(2))
})
