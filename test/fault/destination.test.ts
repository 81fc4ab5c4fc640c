/**
 * A destination fails: its host is cut off, or only its daemon dies. With a capture running on every host and both
 * bridges flooding, since promiscuous and flooded frames have misled steering before.
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Lab } from '../../lab/lab.ts'
import { labDown, labUp } from '../../lab/up.ts'
import { eventually, recordLoad, type RecordedLoad } from './load.ts'

const name = `dest${process.pid}`
/** Generous for two busy cores; the benchmark measures detection, this only bounds the test. */
const DETECTED_WITHIN_MS = 15_000

let lab: Lab
let address: string
const captures: ChildProcess[] = []
const loads: RecordedLoad[] = []

beforeAll(async () => {
  // Every host takes a quarter of what arrives at h1, over both ways.
  lab = await labUp({ name, policy: 'ring' })
  address = lab.host('h1').published[0]!
  for (const segment of ['br-a', 'br-b']) {
    const flood = ['ip', 'link', 'set', segment, 'type', 'bridge', 'ageing_time', '0']
    expect((await lab.exec('switch', flood)).code, segment).toBe(0)
  }
  for (const { name: host } of lab.hosts) {
    const argv = ['tcpdump', '-i', 'eth0', '-n', '-w', '/dev/null', 'ip']
    captures.push(lab.spawn(host, argv, ['ignore', 'ignore', 'ignore']))
  }
})
afterAll(async () => {
  for (const child of captures) {
    const closed = once(child, 'close')
    if (child.kill('SIGTERM')) await closed
  }
  await labDown(name)
})
afterEach(async () => {
  await Promise.all(loads.splice(0).map((load) => load.end()))
})

function load(args: readonly string[]): RecordedLoad {
  const recorded = recordLoad(lab, args)
  loads.push(recorded)
  return recorded
}

/** New connections at a constant rate, each answered after 100 ms. */
const requests = (): RecordedLoad =>
  load([
    'open',
    '--url',
    `http://${address}`,
    '--rate',
    '40',
    '--hold-ms',
    '100',
    '--timeout-ms',
    '10000',
    '--duration-s',
    '120',
  ])

/** Long-lived connections on which every byte that comes back is verified. */
const longLived = (): RecordedLoad =>
  load([
    'flows',
    '--url',
    `http://${address}`,
    '--connections',
    '40',
    '--interval-ms',
    '100',
    '--timeout-ms',
    '20000',
    '--duration-s',
    '120',
  ])

const others = (gone: string): string[] => lab.hosts.map((host) => host.name).filter((host) => host !== gone)

/** Until everybody else sees the member in one of the states, and nobody may send it new flows. */
function untilNobodySends(gone: string, status: readonly string[]): Promise<number> {
  return eventually(
    `${gone} leaves every view`,
    async () => {
      const views = await Promise.all(others(gone).map((host) => lab.peers(host)))
      return views.every((view) => {
        const peer = view.find((candidate) => candidate.name === gone)!
        return status.includes(peer.status) && !peer.eligible
      })
    },
    DETECTED_WITHIN_MS,
  )
}

function untilWhole(): Promise<number> {
  return eventually(
    'all members may serve again',
    async () => {
      const views = await Promise.all(lab.hosts.map((host) => lab.peers(host.name)))
      return views.every((view) => view.length === 4 && view.every((peer) => peer.status === 'alive' && peer.eligible))
    },
    30_000,
  )
}

const served = (recorded: RecordedLoad, host: string): number =>
  recorded.seconds.slice(-3).reduce((sum, second) => sum + (second.byHost[host] ?? 0), 0)

describe.each([
  { victim: 'h2', way: 'mac' },
  { victim: 'h3', way: 'ipip' },
])('destination $victim, reached by $way', ({ victim, way }) => {
  it('its host is cut: peers drop it, its share goes to the rest, no request that starts after that fails', async () => {
    expect((await lab.peers('h1')).find((peer) => peer.name === victim)!.mode).toBe(way)
    const recorded = requests()
    await eventually('all four serve', async () => lab.hosts.every((host) => served(recorded, host.name) > 0), 20_000)
    const cutMs = Date.now()
    await lab.killHost(victim)
    try {
      const tookMs = await untilNobodySends(victim, ['dead', 'suspect'])
      const droppedMs = cutMs + tookMs
      await eventually('its share goes to the rest', async () => served(recorded, victim) === 0, 20_000)
      expect(served(recorded, 'h1')).toBeGreaterThan(0)
      await sleep(3_000)
      await recorded.end()
      const late = recorded.failures.filter(({ startedMs }) => startedMs > droppedMs)
      expect(late, `cut at ${cutMs}, dropped from every table at ${droppedMs}`).toEqual([])
      // What was lost is what the victim itself was serving, and its silence when it was asked to.
      const elsewhere = recorded.failures.filter(({ host }) => host !== null && host !== victim)
      expect(elsewhere).toEqual([])
      expect(recorded.summary!.answered).toBeGreaterThan(200)
    } finally {
      await lab.restoreHost(victim)
    }
    await untilWhole()
  })

  it('only its daemon is killed: no connection fails, new or old', async () => {
    const recorded = requests()
    const flows = longLived()
    await eventually(
      'long-lived flows live on the victim',
      async () => (flows.flows.at(-1)?.byHost[victim] ?? 0) > 0,
      20_000,
    )
    await eventually('all four serve', async () => lab.hosts.every((host) => served(recorded, host.name) > 0), 20_000)
    const before = flows.flows.at(-1)!
    await lab.killDaemon(victim, 'SIGKILL')
    try {
      await untilNobodySends(victim, ['dead'])
      const view = await lab.peers('h1')
      expect(view.find((peer) => peer.name === victim)!.deadReason).toBe('daemon-only')
      await eventually('its share goes to the rest', async () => served(recorded, victim) === 0, 20_000)
      await sleep(5_000)
      const later = flows.flows.at(-1)!
      expect(later.byHost[victim], 'its flows are still there').toBe(before.byHost[victim])
      expect(later.stalledByHost[victim] ?? 0, 'and move').toBe(0)
    } finally {
      await lab.startDaemon(victim)
    }
    await untilWhole()
    await eventually('it serves again', async () => served(recorded, victim) > 0, 30_000)
    await sleep(2_000)
    await Promise.all([recorded.end(), flows.end()])
    expect(recorded.failures).toEqual([])
    expect(recorded.summary!.answered).toBeGreaterThan(200)
    const last = flows.flows.at(-1)!
    expect([last.broken, last.corrupted], JSON.stringify(last)).toEqual([0, 0])
    expect(last.verifiedBytes).toBeGreaterThan(before.verifiedBytes)
  })
})
