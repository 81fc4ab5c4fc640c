/** Scenarios that people discuss, in virtual time: who is believed dead, when, and who must not be. */
import { describe, expect, test } from 'vitest'
import { VirtualCluster } from './virtual-cluster.ts'

async function converged(seed: number, size: number, config = {}): Promise<VirtualCluster> {
  const cluster = await VirtualCluster.create(seed, size, config)
  cluster.startAll()
  expect(
    cluster.run(5_000, () => cluster.converged()),
    `seed ${seed}: converges`,
  ).toBe(true)
  cluster.run(1_000)
  return cluster
}

/** Virtual time until the condition holds; fails after `boundMs`. */
function timeUntil(cluster: VirtualCluster, boundMs: number, what: string, condition: () => boolean): number {
  const start = cluster.nowMs
  expect(cluster.run(boundMs, condition), what).toBe(true)
  return cluster.nowMs - start
}

describe('a silent host', () => {
  test('is dead in all views of five nodes within 1.9 s', async () => {
    const times: number[] = []
    for (let seed = 1; seed <= 40; seed++) {
      const cluster = await converged(seed, 5)
      cluster.run(seed * 7)
      cluster.crash(4)
      times.push(timeUntil(cluster, 2_600, `seed ${seed}: noticed`, () => cluster.allSee(4, 'dead')))
      expect(cluster.view(0, 4)?.deadReason).toBe('silent')
    }
    times.sort((a, b) => a - b)
    console.log(`silent host, 5 nodes: median ${times[20]!.toFixed(0)} ms, worst of 40 ${times[39]!.toFixed(0)} ms`)
    expect(times[20]!).toBeLessThanOrEqual(1_900)
    expect(times[36]!).toBeLessThanOrEqual(1_900)
  })

  test.each([
    { size: 2, boundMs: 2_200 },
    { size: 3, boundMs: 2_200 },
    { size: 20, boundMs: 3_000 },
  ])('is dead in all views of $size nodes', async ({ size, boundMs }) => {
    for (let seed = 1; seed <= 5; seed++) {
      const cluster = await converged(seed, size)
      cluster.crash(size - 1)
      timeUntil(cluster, boundMs, `seed ${seed}: noticed`, () => cluster.allSee(size - 1, 'dead'))
      expect(cluster.wrongDeaths().every((death) => death.includes(`h00${size - 1}`) || death.includes('h019'))).toBe(
        true,
      )
    }
  })

  test('is forgotten after a bounded time, and nobody hands its name back', async () => {
    const cluster = await converged(3, 4, { forgetAfterMs: 10_000, forgetQuietMs: 3_000 })
    cluster.crash(3)
    // One learns of the death later, and so forgets later.
    cluster.pause(2, 1_100)
    cluster.run(20_000)
    for (const viewer of [0, 1, 2]) {
      expect(cluster.view(viewer, 3)).toBeUndefined()
      expect(cluster.host(viewer).events.filter(({ event }) => event.type === 'forgotten')).toHaveLength(1)
    }
  })
})

describe('who must not die', () => {
  test('a paused member refutes', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const cluster = await converged(seed, 5)
      const before = cluster.view(0, 4)!.facts.incarnation
      cluster.pause(4, 1_000)
      timeUntil(cluster, 1_000, `seed ${seed}: suspected`, () => cluster.view(0, 4)?.status === 'suspect')
      timeUntil(cluster, 1_500, `seed ${seed}: cleared`, () => cluster.allSee(4, 'alive'))
      cluster.run(3_000)
      expect(cluster.view(0, 4)!.facts.incarnation).toBeGreaterThan(before)
      expect(cluster.wrongDeaths(), `seed ${seed}`).toEqual([])
    }
  })

  test('a member that one other cannot reach', async () => {
    for (let seed = 1; seed <= 5; seed++) {
      const cluster = await converged(seed, 5)
      cluster.cut(1, 4)
      cluster.run(20_000)
      expect(cluster.wrongDeaths(), `seed ${seed}`).toEqual([])
      // Helpers reach it, so it is not even suspected.
      expect(cluster.hosts.map((host) => host.core.counters.accusationsMade)).toEqual([0, 0, 0, 0, 0])
    }
  })

  test('anybody, while one of five at random stalls for 500 ms every 2 s', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const cluster = await converged(seed, 5)
      for (let round = 0; round < 30; round++) {
        cluster.pause(Math.floor(cluster.random() * 5), 500)
        cluster.run(2_000)
      }
      expect(cluster.wrongDeaths(), `seed ${seed}`).toEqual([])
    }
  })

  test('the others, when one wakes from a stall of 5 s', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const cluster = await converged(seed, 5)
      cluster.pause(2, 5_000)
      cluster.run(4_999)
      const sleeper = cluster.host(2).id
      cluster.run(5_000)
      expect(cluster.converged(), `seed ${seed}`).toBe(true)
      expect(cluster.host(2).core.counters.stalls).toBe(1)
      expect(
        cluster.wrongDeaths().filter((death) => !death.includes('h002')),
        `${seed} ${sleeper}`,
      ).toEqual([])
    }
  })
})

describe('a stalled member', () => {
  test.each([500, 700, 1_000, 3_000, 30_000])('accuses nobody after %i ms', async (ms) => {
    for (let seed = 1; seed <= 5; seed++) {
      const cluster = await converged(seed, 5)
      cluster.run(seed * 37)
      cluster.pause(2, ms)
      cluster.run(ms + 5_000)
      expect(cluster.converged(), `seed ${seed}`).toBe(true)
      const accused = cluster.hosts.flatMap((host) =>
        host.events.flatMap(({ event }) =>
          event.type === 'status' && event.member.status !== 'alive' ? [event.member.facts.name] : [],
        ),
      )
      expect(
        accused.filter((name) => name !== 'h002'),
        `seed ${seed}`,
      ).toEqual([])
    }
  })
})

describe('loss, which TCP turns into delay', () => {
  test('of 15 %: a silent host is dead in all views within 3 s, living members never', async () => {
    for (let seed = 1; seed <= 5; seed++) {
      const cluster = await converged(seed, 5)
      cluster.loss = 0.15
      cluster.run(60_000)
      expect(cluster.wrongDeaths(), `seed ${seed}`).toEqual([])
      cluster.crash(4)
      timeUntil(cluster, 3_000, `seed ${seed}: noticed`, () => cluster.allSee(4, 'dead'))
    }
  })
})

describe('a killed daemon', () => {
  test.each([{ size: 2 }, { size: 3 }, { size: 5 }])('is daemon-only dead at once among $size', async ({ size }) => {
    for (let seed = 1; seed <= 5; seed++) {
      const cluster = await converged(seed, size)
      cluster.killDaemon(size - 1)
      timeUntil(cluster, 300, `seed ${seed}: noticed`, () => cluster.allSee(size - 1, 'dead'))
      for (let viewer = 0; viewer < size - 1; viewer++) {
        expect(cluster.view(viewer, size - 1)?.deadReason).toBe('daemon-only')
      }
    }
  })

  test('rejoins with its identity, above the incarnation that others hold', async () => {
    const cluster = await converged(5, 5)
    cluster.pause(4, 900)
    cluster.run(4_000)
    const held = cluster.view(0, 4)!.facts.incarnation
    expect(held).toBeGreaterThan(1)
    cluster.killDaemon(4)
    timeUntil(cluster, 300, 'noticed', () => cluster.allSee(4, 'dead'))
    cluster.start(4, 1)
    cluster.connect(4, 0)
    timeUntil(cluster, 2_000, 'rejoins', () => cluster.converged())
    expect(cluster.view(0, 4)!.facts.incarnation).toBeGreaterThan(held)
  })
})

describe('a member that leaves', () => {
  test('is seen as left, and comes back', async () => {
    const cluster = await converged(6, 5)
    cluster.leave(4)
    timeUntil(cluster, 50, 'confirmed', () => cluster.host(4).core.farewellsPending === 0)
    expect(cluster.allSee(4, 'left')).toBe(true)
    cluster.crash(4)
    cluster.run(3_000)
    expect(cluster.allSee(4, 'left')).toBe(true)
    cluster.start(4, 1)
    cluster.connect(4, 1)
    timeUntil(cluster, 2_000, 'is back', () => cluster.converged())
  })

  test('says goodbye until everybody has heard', async () => {
    const cluster = await converged(7, 5)
    for (const other of [0, 1, 2, 3]) cluster.mute(4, other)
    cluster.leave(4)
    cluster.run(450)
    expect(cluster.host(4).core.farewellsPending).toBe(4)
    expect(cluster.view(0, 4)?.status).not.toBe('left')
    cluster.heal()
    timeUntil(
      cluster,
      2 * cluster.config.probeIntervalMs,
      'confirmed',
      () => cluster.host(4).core.farewellsPending === 0,
    )
    expect(cluster.allSee(4, 'left')).toBe(true)
  })
})

describe('with more members than a mesh holds', () => {
  async function acquainted(seed: number, size: number, config = {}): Promise<VirtualCluster> {
    const cluster = await VirtualCluster.create(seed, size, config)
    cluster.startAcquainted()
    cluster.run(3_000)
    expect(cluster.converged()).toBe(true)
    return cluster
  }

  test('news reaches everybody before the next exchange would have told all', async () => {
    const cluster = await acquainted(1, 150)
    const took = (act: () => void, seen: (viewer: number) => boolean): number => {
      act()
      return timeUntil(cluster, 1_000, 'seen', () =>
        cluster.hosts.every((h) => h.index === 7 || !h.up || seen(h.index)),
      )
    }
    const facts = took(
      () => cluster.setFacts(7, { draining: true }),
      (viewer) => cluster.view(viewer, 7)?.facts.draining === true,
    )
    const left = took(
      () => cluster.leave(7),
      (viewer) => cluster.view(viewer, 7)?.status === 'left',
    )
    console.log(`news among 150 members: facts ${facts.toFixed(0)} ms, departure ${left.toFixed(0)} ms`)
    expect(Math.max(facts, left)).toBeLessThan(400)
  })

  test('several silent at once are dead in all views within 2.6 s, and nobody else', async () => {
    const cluster = await acquainted(2, 120)
    cluster.loss = 0.01
    const silent = [3, 50, 51, 99]
    for (const index of silent) cluster.crash(index)
    timeUntil(cluster, 2_600, 'noticed', () => silent.every((index) => cluster.allSee(index, 'dead')))
    const names = new Set(cluster.wrongDeaths().map((death) => death.split(' ')[2]))
    expect(names).toEqual(new Set(['h003', 'h050', 'h051', 'h099']))
  })

  test('a newcomer that knows one of them knows all, and is known, within 2 s', async () => {
    const cluster = await VirtualCluster.create(3, 120)
    cluster.startAcquainted(119)
    cluster.run(2_000)
    cluster.start(119)
    cluster.connect(119, 5)
    const others = cluster.hosts.filter(({ index }) => index !== 119)
    const took = timeUntil(cluster, 2_000, 'acquainted', () =>
      others.every(({ index }) => cluster.view(index, 119) && cluster.view(119, index)?.status === 'alive'),
    )
    console.log(`a newcomer among 120: ${took.toFixed(0)} ms`)
  })

  test('each keeps links to a bounded number of others, and all links are mutual', async () => {
    const cluster = await acquainted(4, 100)
    for (const host of cluster.hosts) {
      const neighbours = host.core.neighbours()
      expect(neighbours.length).toBeLessThanOrEqual(32)
      for (const id of neighbours) {
        expect(host.core.isNeighbour(id)).toBe(true)
        expect(cluster.hosts.find((other) => other.id === id)!.core.isNeighbour(host.id)).toBe(true)
      }
    }
  })

  test('views that were made to differ agree again, though no flood tells', async () => {
    const cluster = await acquainted(5, 100, { urgentDelayMs: 1e6 })
    cluster.setFacts(40, { draining: true })
    const took = timeUntil(cluster, 5_000, 'agreed', () => {
      return cluster.hosts.every((h) => cluster.view(h.index, 40)?.facts.draining === true)
    })
    console.log(`by digests alone, 100 members: ${took.toFixed(0)} ms`)
  })
})

test('a partition heals: each side buries the other, then everybody is alive again', async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const cluster = await converged(seed, 5)
    for (const a of [0, 1]) {
      for (const b of [2, 3, 4]) {
        cluster.cut(a, b)
        cluster.cut(b, a)
      }
    }
    timeUntil(
      cluster,
      7_000,
      'split',
      () => cluster.view(0, 2)?.status === 'dead' && cluster.view(2, 0)?.status === 'dead',
    )
    cluster.run(3_000)
    const beforeHealing = cluster.wrongDeaths().length
    cluster.heal()
    timeUntil(cluster, 3_000, `seed ${seed}: healed`, () => cluster.converged())
    cluster.run(3_000)
    expect(cluster.converged()).toBe(true)
    expect(cluster.wrongDeaths().length, `seed ${seed}: nobody dies of the healing`).toBe(beforeHealing)
  }
})

describe('load reports that change all the time', () => {
  test.each([
    { size: 5, bytesPerSecondMax: 3_000, medianMs: 400, p99Ms: 1_000 },
    { size: 20, bytesPerSecondMax: 6_000, medianMs: 600, p99Ms: 1_200 },
    { size: 100, bytesPerSecondMax: 15_000, medianMs: 800, p99Ms: 2_000 },
  ])('$size members: fresh and cheap', async ({ size, bytesPerSecondMax, medianMs, p99Ms }) => {
    const cluster = await VirtualCluster.create(9, size)
    cluster.startAcquainted()
    for (const host of cluster.hosts) {
      const sample = (): void => {
        host.core.setLoad(cluster.nowMs, { load: cluster.nowMs / 1_000, source: 'flows', ageMs: 0 })
        cluster.at(cluster.nowMs + 100, sample)
      }
      cluster.at(cluster.nowMs + cluster.random() * 100, sample)
    }
    cluster.run(3_000)
    const ages: number[] = []
    const bytesBefore = cluster.wireBytes
    for (let round = 0; round < 10; round++) {
      cluster.run(200)
      for (const host of cluster.hosts) {
        for (const { self, report } of host.core.members(cluster.nowMs)) {
          if (self) continue
          ages.push(report.ageMs)
          // The age in the view is the true one: the report carries the time at which it was made.
          expect(Math.abs(cluster.nowMs - report.load * 1_000 - report.ageMs)).toBeLessThan(30)
        }
      }
    }
    ages.sort((a, b) => a - b)
    const [median, p99] = [ages[ages.length >> 1]!, ages[Math.floor(ages.length * 0.99)]!]
    const rate = (cluster.wireBytes - bytesBefore) / 2 / size
    console.log(
      `reports, ${size} members: median age ${median.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms, ${rate.toFixed(0)} B/s each way`,
    )
    expect(median).toBeLessThanOrEqual(medianMs)
    expect(p99).toBeLessThanOrEqual(p99Ms)
    expect(rate).toBeLessThanOrEqual(bytesPerSecondMax)
  })
})

test('one seed, one history', async () => {
  const histories = await Promise.all(
    [11, 11, 12].map(async (seed) => {
      const cluster = await converged(seed, 5)
      cluster.crash(4)
      cluster.run(5_000)
      return JSON.stringify([cluster.bytes, cluster.hosts.map((h) => h.events.map((e) => e.atMs))])
    }),
  )
  expect(histories[0]).toBe(histories[1])
  expect(histories[0]).not.toBe(histories[2])
})
