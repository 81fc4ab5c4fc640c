/** A rack is powered up: all daemons start at once on CPUs that have other things to do, too. In virtual time. */
import { expect, test } from 'vitest'
import { lanConfig } from '../../gossip/config.ts'
import { Peer } from '../../gossip/peer.ts'
import { BusyLoop, BusyNetwork } from './busy-network.ts'
import { factsOf, seededRandom, signerOf } from './fixtures.ts'
import { VirtualClock } from './virtual-clock.ts'

const HANDSHAKE_CPU_MS = 20

async function start(clock: VirtualClock, count: number, share: number): Promise<Peer[]> {
  const config = lanConfig()
  const listening = new Map<string, BusyNetwork>()
  const addressOf = (index: number): string => `${factsOf(index).gossipAddress}:7600`
  const peers: Peer[] = []
  for (let index = 0; index < count; index++) {
    const signer = await signerOf(index)
    const loop = new BusyLoop(clock, share)
    const model = { cpuMs: HANDSHAKE_CPU_MS, withinMs: config.handshakeTimeoutMs }
    const network = new BusyNetwork(signer.id, addressOf(index), loop, model, listening)
    const core = {
      config,
      signer,
      verify: () => true,
      facts: factsOf(index),
      software: 'test',
      incarnation: 1,
      random: seededRandom(index + 1),
    }
    const peer = new Peer({ core, network, clock: loop, seeds: [addressOf(0)], onEvent: () => undefined })
    await network.start(peer.handlers)
    peers.push(peer)
  }
  for (const peer of peers) peer.begin()
  return peers
}

test.each([
  { name: 'a whole core each', count: 40, share: 1, withinMs: 4_000 },
  { name: 'a seventh of a core each', count: 25, share: 0.15, withinMs: 20_000 },
])('$count daemons that start at once are linked, with $name, and hardly a handshake is for nothing', async (row) => {
  const clock = new VirtualClock()
  const peers = await start(clock, row.count, row.share)
  const isMesh = (): boolean => peers.every((peer) => peer.counters().links === row.count - 1)
  while (!isMesh() && clock.now() < row.withinMs) clock.run(100)
  expect(peers.map((peer) => peer.counters().links)).toEqual(peers.map(() => row.count - 1))
  const sum = (of: 'dials' | 'dialsFailed'): number => peers.reduce((all, peer) => all + peer.counters()[of], 0)
  const pairs = (row.count * (row.count - 1)) / 2
  expect(sum('dialsFailed')).toBeLessThan(0.05 * pairs)
  expect(sum('dials')).toBeLessThan(2 * pairs)
})
