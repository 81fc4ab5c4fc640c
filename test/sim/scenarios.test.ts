/**
 * The cases that people discuss, each as a cluster in virtual time: whole members (core, links, dialling) over both
 * models of the network. Times are virtual; a bound here is what an operator may rely on, not what is usual.
 */
import { describe, expect, test } from 'vitest'
import { SimulatedCluster } from '../../lab/simulate/cluster.ts'
import type { NetworkModel } from '../../lab/simulate/connection.ts'
import { changes, incarnationOf, range, runWithLiar, said, settled, timeUntil } from './scenarios-cluster.ts'

describe.each<{ model: NetworkModel }>([{ model: 'streams' }, { model: 'datagrams' }])('$model:', ({ model }) => {
  const network = { model }

  describe('a member that stands still', () => {
    test('a paused member comes back and refutes', async () => {
      const cluster = await settled(5, { network })
      const [before, sinceMs] = [incarnationOf(cluster, 2), cluster.nowMs]
      cluster.pause(2, 1_000)
      cluster.run(4_000)
      expect(said(cluster, sinceMs, { subject: 2 })).toContain('suspect')
      expect(said(cluster, sinceMs, { subject: 2 })).not.toContain('dead')
      expect(incarnationOf(cluster, 2)).toBeGreaterThan(before)
      expect(cluster.converged()).toBe(true)
    })

    test('a member that was paused until all thought it dead is alive again within two seconds', async () => {
      const cluster = await settled(5, { network })
      cluster.pause(2, 8_000)
      cluster.run(8_000)
      expect(cluster.allSee(2, 'dead')).toBe(true)
      timeUntil(cluster, 'alive again', 2_000, () => cluster.converged())
    })

    test('a member with a 30-second stall does not accuse everyone', async () => {
      const cluster = await settled(8, { network })
      cluster.pause(3, 30_000)
      cluster.run(30_000)
      const wokeMs = cluster.nowMs
      expect(cluster.allSee(3, 'dead')).toBe(true)
      timeUntil(cluster, 'alive again, and sees all alive', 4_000, () => cluster.converged())
      cluster.run(5_000)
      expect(said(cluster, wokeMs, { viewer: 3 }).filter((status) => status !== 'alive')).toEqual([])
      expect(cluster.wrongDeaths().filter(({ subject }) => subject !== 3)).toEqual([])
    })

    test('when the whole cluster stands still for three seconds, nobody dies', async () => {
      const cluster = await settled(6, { network })
      for (const member of range(6)) cluster.pause(member, 3_000)
      cluster.run(10_000)
      expect(cluster.wrongDeaths()).toEqual([])
      expect(cluster.converged()).toBe(true)
    })

    test('a slow member stays alive (30 ms for each input: two thirds of its time)', async () => {
      const cluster = await settled(5, { network })
      const sinceMs = cluster.nowMs
      cluster.slow(2, 30)
      cluster.run(30_000)
      expect(said(cluster, sinceMs, {})).not.toContain('dead')
      cluster.slow(2, 0)
      timeUntil(cluster, 'calm', 3_000, () => cluster.converged())
    })
  })

  describe('a network that fails in part', () => {
    test('a one-way partition does not kill a healthy member', async () => {
      const cluster = await settled(5, { network })
      cluster.cut(0, 1)
      cluster.run(20_000)
      expect(cluster.wrongDeaths()).toEqual([])
      cluster.heal()
      timeUntil(cluster, 'calm again', 5_000, () => cluster.converged())
    })

    test('two members that cannot reach each other at all see each other alive through the others', async () => {
      const cluster = await settled(5, { network })
      cluster.cut(0, 1)
      cluster.cut(1, 0)
      cluster.run(20_000)
      expect(cluster.wrongDeaths()).toEqual([])
    })

    test('a path that loses half of its packets kills nobody', async () => {
      const cluster = await settled(5, { network })
      cluster.setPairLoss(0, 1, 0.5)
      cluster.setPairLoss(1, 0, 0.5)
      cluster.run(30_000)
      expect(cluster.wrongDeaths()).toEqual([])
    })

    test('15 % loss everywhere kills nobody in five minutes', async () => {
      const cluster = await settled(5, { network })
      cluster.setLoss(0.15)
      cluster.run(300_000)
      expect(cluster.wrongDeaths()).toEqual([])
    })

    test('a member that was cut off learns everything again within seconds', async () => {
      const cluster = await settled(8, { network, seeds: [0, 1] })
      cluster.leave(6)
      timeUntil(cluster, 'left', 3_000, () => cluster.allSee(6, 'left'))
      cluster.partition([], [4])
      cluster.run(15_000)
      for (const member of [0, 1, 2, 3, 5]) cluster.setFacts(member, { draining: true })
      cluster.restart(5)
      cluster.start(6)
      cluster.killDaemon(7)
      cluster.run(15_000)
      cluster.heal()
      timeUntil(cluster, 'whole', 6_000, () => cluster.converged())
      timeUntil(cluster, 'knows what it missed', 3_000, () => {
        const views = cluster.members(4)
        const draining = views.filter(({ facts }) => facts.draining).map(({ facts }) => facts.id)
        return draining.length === 5 && cluster.seen(4, 7) === 'dead' && cluster.seen(4, 6) === 'alive'
      })
    })

    test('two halves of a healed partition find each other though the seeds are gone', async () => {
      const cluster = await settled(8, { network, seeds: [0, 1] })
      cluster.partition([0, 1, 2, 3], [4, 5, 6, 7])
      cluster.run(20_000)
      expect(cluster.seen(2, 5)).toBe('dead')
      expect(cluster.seen(5, 2)).toBe('dead')
      cluster.crash(0)
      cluster.crash(1)
      cluster.run(20_000)
      cluster.heal()
      const tookMs = timeUntil(cluster, 'one cluster', 10_000, () => cluster.converged())
      expect(tookMs).toBeLessThan(8_000)
    })
  })

  describe('members that end', () => {
    test('a killed daemon is noticed at once and flagged daemon-only', async () => {
      const cluster = await settled(5, { network })
      cluster.killDaemon(2)
      timeUntil(cluster, 'noticed by all', 300, () => cluster.allSee(2, 'dead'))
      for (const viewer of [0, 1, 3, 4]) expect(cluster.view(viewer, 2)?.deadReason).toBe('daemon-only')
    })

    test('a host without power is noticed within 2.6 s and not flagged daemon-only', async () => {
      const cluster = await settled(5, { network })
      cluster.crash(2)
      timeUntil(cluster, 'noticed by all', 2_600, () => cluster.allSee(2, 'dead'))
      for (const viewer of [0, 1, 3, 4]) expect(cluster.view(viewer, 2)?.deadReason).toBe('silent')
    })

    test("a cluster of two: each notices the other's death", async () => {
      const cluster = await settled(2, { network })
      for (const [victim, observer] of [[1, 0] as const, [0, 1] as const]) {
        cluster.crash(victim)
        timeUntil(cluster, `noticed by ${observer}`, 2_600, () => cluster.seen(observer, victim) === 'dead')
        cluster.start(victim)
        timeUntil(cluster, 'whole', 5_000, () => cluster.converged())
        cluster.run(2_000)
      }
    })

    test('a leaver is seen as left by everybody, not dead', async () => {
      const cluster = await settled(6, { network })
      const sinceMs = cluster.nowMs
      cluster.leave(2)
      timeUntil(cluster, 'seen by all', 1_000, () => cluster.allSee(2, 'left'))
      cluster.run(15_000)
      expect(cluster.allSee(2, 'left')).toBe(true)
      expect(said(cluster, sinceMs, { subject: 2 })).toEqual(range(5).map(() => 'left'))
    })

    test('half of the cluster dies in the same moment, and the other half agrees on it', async () => {
      const cluster = await settled(10, { network })
      for (const member of range(5)) cluster.crash(member)
      timeUntil(cluster, 'noticed', 8_000, () => range(5).every((member) => cluster.allSee(member, 'dead')))
      expect(cluster.wrongDeaths()).toEqual([])
    })

    test('the dead are forgotten everywhere and not resurrected', async () => {
      const config = { forgetAfterMs: 20_000, forgetQuietMs: 5_000 }
      const cluster = await settled(6, { network, config, seeds: [0] })
      cluster.crash(3)
      cluster.leave(4)
      timeUntil(cluster, 'forgotten', 60_000, () =>
        [0, 1, 2, 5].every((member) => cluster.members(member).length === 4),
      )
      cluster.run(1_000)
      const sinceMs = cluster.nowMs
      cluster.restart(5)
      cluster.run(60_000)
      expect(changes(cluster, sinceMs).filter(({ subject }) => subject === 3 || subject === 4)).toEqual([])
      cluster.start(3)
      cluster.start(4)
      timeUntil(cluster, 'welcome back', 10_000, () => cluster.converged())
    })
  })

  describe('members that come and come back', () => {
    test('half the cluster restarts at once', async () => {
      const cluster = await settled(10, { network })
      for (const member of range(5)) cluster.restart(member)
      timeUntil(cluster, 'whole again', 5_000, () => cluster.converged())
      cluster.run(10_000)
      expect(cluster.converged()).toBe(true)
      expect(cluster.wrongDeaths()).toEqual([])
    })

    test('all restart one after the other, as in an upgrade', async () => {
      const cluster = await settled(6, { network })
      for (const member of range(6)) {
        cluster.restart(member)
        cluster.run(500)
      }
      timeUntil(cluster, 'whole again', 5_000, () => cluster.converged())
      expect(cluster.wrongDeaths()).toEqual([])
    })

    test('a daemon that crashes again and again is alive when it runs, and nobody else is harmed', async () => {
      const cluster = await settled(5, { network })
      for (let times = 0; times < 8; times++) {
        cluster.killDaemon(2)
        cluster.run(300)
        cluster.start(2)
        cluster.run(700)
      }
      timeUntil(cluster, 'whole again', 3_000, () => cluster.converged())
      expect(cluster.wrongDeaths()).toEqual([])
    })

    test('a member that comes back with its old identity and an older clock is believed', async () => {
      const cluster = await settled(5, { network })
      runWithLiar(cluster, 0, 2, 10_000)
      const before = incarnationOf(cluster, 2)
      cluster.killDaemon(2)
      cluster.run(2_000)
      cluster.start(2)
      expect(incarnationOf(cluster, 2)).toBeLessThan(before)
      timeUntil(cluster, 'believed', 3_000, () => cluster.converged())
      expect(incarnationOf(cluster, 2)).toBeGreaterThan(before)
    })

    test('100 members join through one seed', async () => {
      const cluster = await settled(100, { network, seeds: [0] })
      expect(cluster.wrongDeaths()).toEqual([])
    })

    test('two clusters with different keys on one segment never mix', async () => {
      const cluster = await SimulatedCluster.create({
        seed: 20_262,
        members: 6,
        network,
        seeds: range(6),
        clusterKey: (member) => (member % 2 === 0 ? 'even' : 'odd'),
      })
      cluster.startAll()
      cluster.run(20_000)
      for (const viewer of range(6)) {
        const kin = range(6).filter((member) => member % 2 === viewer % 2)
        expect(cluster.members(viewer).map(({ facts }) => cluster.numberOf(facts.id))).toEqual(kin)
        expect(kin.map((member) => cluster.seen(viewer, member))).toEqual(['alive', 'alive', 'alive'])
      }
      expect(
        changes(cluster, 0).filter(({ viewer, subject }) => subject !== undefined && (viewer + subject) % 2 === 1),
      ).toEqual([])
      expect(cluster.events.some(({ event }) => event.type === 'stranger' && /key/.test(event.reason))).toBe(true)
    })
  })

  describe('what others say', () => {
    test('one liar cannot kill a healthy member', async () => {
      const cluster = await settled(5, { network })
      const sinceMs = cluster.nowMs
      runWithLiar(cluster, 4, 2, 15_000)
      expect(said(cluster, sinceMs, { subject: 2 })).toContain('suspect')
      expect(said(cluster, sinceMs, {})).not.toContain('dead')
      timeUntil(cluster, 'calm', 3_000, () => cluster.converged())
    })

    test('a rumour about somebody unknown is harmless', async () => {
      const cluster = await settled(6, { network, seeds: [0] })
      cluster.leave(5)
      cluster.run(3_000)
      // Member 4 hears nothing of the life of 5 but the end: it was cut off meanwhile.
      cluster.restart(4)
      cluster.partition([], [4])
      cluster.start(5)
      cluster.run(3_000)
      cluster.crash(5)
      cluster.run(400)
      cluster.heal()
      timeUntil(
        cluster,
        'known and buried',
        12_000,
        () => cluster.allSee(5, 'dead') || cluster.seen(4, 5) === 'unknown',
      )
      timeUntil(cluster, 'whole', 10_000, () => cluster.converged())
    })
  })
})

// A thousand take minutes to join; the benchmark `simulation` has the time.
test('two hundred members, each with 32 neighbours at most, notice ten deaths', async () => {
  const cluster = await settled(200, { network: { loss: 0.01 }, seeds: range(3) })
  const victims = range(10, 100)
  for (const victim of victims) cluster.crash(victim)
  timeUntil(cluster, 'all deaths noticed by all', 4_000, () =>
    victims.every((victim) => cluster.allSee(victim, 'dead')),
  )
  expect(cluster.wrongDeaths()).toEqual([])
}, 120_000)
