/**
 * Nobody is suspected because packets get lost: whoever is suspected gets no new flows, and all members talk about it. And
 * whoever dies is noticed all the same.
 */
import { describe, expect, test } from 'vitest'
import { wanConfig } from '../../gossip/config.ts'
import type { SimulatedCluster } from '../../lab/simulate/cluster.ts'
import { range, settled, timeUntil } from './scenarios-cluster.ts'

const MINUTE_MS = 60_000

/** Accusations that were made, by those who are up. */
function accusations(cluster: SimulatedCluster): number {
  return cluster.up().reduce((sum, member) => sum + cluster.peer(member).counters().accusationsMade, 0)
}

function dials(cluster: SimulatedCluster): number {
  return cluster.up().reduce((sum, member) => sum + cluster.peer(member).counters().dials, 0)
}

describe('on a local network that loses 2 % of all packets', () => {
  test.each([
    { members: 2, model: 'streams', minutes: 60, suspectedAtMost: 20 },
    { members: 3, model: 'streams', minutes: 120, suspectedAtMost: 3 },
    { members: 3, model: 'datagrams', minutes: 60, suspectedAtMost: 20 },
    { members: 5, model: 'streams', minutes: 120, suspectedAtMost: 0 },
    { members: 5, model: 'datagrams', minutes: 120, suspectedAtMost: 2 },
    { members: 40, model: 'streams', minutes: 5, suspectedAtMost: 0 },
  ] as const)(
    '$members members, $model: at most $suspectedAtMost accusations in $minutes minutes',
    async ({ members, model, minutes, suspectedAtMost }) => {
      const cluster = await settled(members, { network: { model, loss: 0.02 } })
      const before = accusations(cluster)
      cluster.run(minutes * MINUTE_MS)
      expect(accusations(cluster) - before).toBeLessThanOrEqual(suspectedAtMost)
      expect(cluster.wrongDeaths()).toEqual([])
    },
    60_000,
  )

  test('members that lack common neighbours do not dial for help as long as a lost segment explains the silence', async () => {
    // As among a thousand: one neighbour in common, more or less.
    const config = { overlayRings: 4, meshMembersMax: 8 }
    const cluster = await settled(60, { network: { loss: 0.02 }, config })
    // What was needed to join is closed, and the first minute's dials are over.
    cluster.run(20_000)
    const [accusationsBefore, dialsBefore] = [accusations(cluster), dials(cluster)]
    cluster.run(60_000)
    expect(accusations(cluster)).toBe(accusationsBefore)
    // 18,000 probes, 700 of them late.
    expect(dials(cluster) - dialsBefore).toBeLessThan(100)
  })
})

describe('three sites, 80 ms from each other and more where it is busy, 1 % loss, the preset for such:', () => {
  const sites = { siteOf: (member: number) => member % 3, latencyMs: 80, jitterMs: 20 }
  const spec = { sites, config: wanConfig() }

  describe.each([{ model: 'streams' }, { model: 'datagrams' }] as const)('$model:', ({ model }) => {
    const network = { model, loss: 0.01 }

    test('nobody is suspected in an hour', async () => {
      const cluster = await settled(12, { ...spec, network })
      const before = accusations(cluster)
      cluster.run(60 * MINUTE_MS)
      expect(accusations(cluster)).toBe(before)
    })

    test.each([6, 12, 66])('a host of %i that falls silent is noticed by all within 12 s', async (members) => {
      const cluster = await settled(members, { ...spec, network })
      // A round of probes: everybody has heard from everybody.
      cluster.run(30_000)
      cluster.crash(4)
      const tookMs = timeUntil(cluster, 'noticed by all', 12_000, () => cluster.allSee(4, 'dead'))
      expect(tookMs).toBeGreaterThan(5_000)
      expect(cluster.wrongDeaths()).toEqual([])
    })

    test('a killed daemon is noticed by all within 1.5 s', async () => {
      const cluster = await settled(12, { ...spec, network })
      cluster.killDaemon(4)
      timeUntil(cluster, 'noticed by all', 1_500, () => cluster.allSee(4, 'dead'))
    })

    test('a stall of two seconds kills nobody', async () => {
      const cluster = await settled(9, { ...spec, network })
      for (const member of range(9)) {
        cluster.pause(member, 2_000)
        cluster.run(7_000)
      }
      expect(cluster.wrongDeaths()).toEqual([])
      timeUntil(cluster, 'all are alive', 5_000, () => cluster.converged())
    })

    test('a site that is cut off takes nobody with it, and is back within 15 s of its return', async () => {
      const cluster = await settled(9, { ...spec, network })
      const away = range(9).filter((member) => member % 3 === 2)
      cluster.partition([], away)
      cluster.run(30_000)
      expect(away.every((member) => cluster.seen(0, member) === 'dead')).toBe(true)
      cluster.heal()
      timeUntil(cluster, 'whole', 15_000, () => cluster.converged())
      expect(cluster.wrongDeaths()).toEqual([])
    })
  })
})
