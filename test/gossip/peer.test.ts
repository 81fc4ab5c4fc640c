/** Whole members on an in-memory network, in virtual time: what core, links and timers do together. */
import { beforeEach, describe, expect, test } from 'vitest'
import { lanConfig } from '../../gossip/config.ts'
import type { GossipConfig } from '../../gossip/config.ts'
import { verifySignature } from '../../gossip/identity.ts'
import type { Signer } from '../../gossip/identity.ts'
import { Peer } from '../../gossip/peer.ts'
import type { PeerConnection } from '../../gossip/network.ts'
import { INCOMPLETE_REASON, TWIN_REASON } from '../../gossip/strangers.ts'
import type { MembershipEvent } from '../../gossip/types.ts'
import { MemoryNetwork, MemoryWorld } from '../compliance/memory-network.ts'
import { factsOf, seededRandom, signerOf } from './fixtures.ts'
import { VirtualClock } from './virtual-clock.ts'

interface Host {
  index: number
  id: string
  address: string
  network: MemoryNetwork
  peer: Peer
  events: MembershipEvent[]
}

interface HostOptions {
  address?: string
  seeds?: readonly string[]
  known?: readonly string[]
  config?: Partial<GossipConfig>
  admits?: (id: string) => boolean
  incarnation?: number
  signer?: Signer
}

let clock: VirtualClock
let world: MemoryWorld
let hosts: Host[]

beforeEach(() => {
  clock = new VirtualClock()
  world = new MemoryWorld(clock)
  hosts = []
})

const addressOf = (index: number): string => `10.1.${index >> 8}.${(index & 255) + 1}:7600`

async function start(index: number, options: HostOptions = {}): Promise<Host> {
  const signer = options.signer ?? (await signerOf(index))
  const address = options.address ?? addressOf(index)
  const network = new MemoryNetwork(world, signer.id, address)
  const events: MembershipEvent[] = []
  const peer = new Peer({
    core: {
      config: lanConfig(options.config),
      signer,
      verify: verifySignature,
      facts: factsOf(index, { gossipAddress: address.split(':')[0]! }),
      software: 'test',
      incarnation: options.incarnation ?? 1,
      random: seededRandom(index + 1),
      ...(options.admits === undefined ? {} : { admits: options.admits }),
    },
    network,
    clock,
    seeds: options.seeds ?? (index === 0 ? [] : [addressOf(0)]),
    known: options.known ?? [],
    onEvent: (event) => events.push(event),
  })
  await network.start(peer.handlers)
  peer.begin()
  const host = { index, id: signer.id, address, network, peer, events }
  hosts.push(host)
  return host
}

/** As a killed process. */
async function kill(host: Host): Promise<void> {
  host.peer.stop()
  await host.network.stop()
}

async function startAll(size: number, options: HostOptions = {}): Promise<Host[]> {
  const all: Host[] = []
  for (let i = 0; i < size; i++) all.push(await start(i, options))
  clock.until('all see all', () => all.every((host) => seesAll(host, all)), 60_000)
  return all
}

function statusOf(viewer: Host, id: string): string | undefined {
  return viewer.peer.core.member(clock.now(), id)?.status
}

const seesAll = (viewer: Host, all: readonly Host[]): boolean => all.every(({ id }) => statusOf(viewer, id) === 'alive')
const statusChanges = (host: Host): string[] =>
  host.events.flatMap((event) => (event.type === 'status' ? [`${event.from} → ${event.member.status}`] : []))

/** Both ways, silently. */
function isolate(host: Host, others: readonly Host[]): void {
  for (const other of others) if (other !== host) world.cut(host.address, other.address)
}

describe('five members', () => {
  test('meet through one seed, and keep one link a pair', async () => {
    const all = await startAll(5)
    clock.pass(5_000)
    expect(all.map(({ peer }) => peer.counters().links)).toEqual([4, 4, 4, 4, 4])
    expect(all.map(({ peer }) => peer.counters().connections)).toEqual([4, 4, 4, 4, 4])
    const dials = all.map(({ peer }) => peer.counters().dials)
    clock.pass(60_000)
    expect(
      all.map(({ peer }) => peer.counters().dials),
      'nothing left to dial',
    ).toEqual(dials)
    expect(all.flatMap(statusChanges)).toEqual([])
  })

  test('notice at once that one is killed, and that it is back', async () => {
    const all = await startAll(5)
    clock.pass(2_000)
    const victim = all[3]!
    await kill(victim)
    const others = all.filter((host) => host !== victim)
    const took = clock.until('noticed', () => others.every((host) => statusOf(host, victim.id) === 'dead'))
    expect(took).toBeLessThan(300)
    clock.pass(10_000)
    // It knows nobody: they find it.
    const again = await start(3, { seeds: [], incarnation: 2 })
    const back = clock.until('back', () => [...others, again].every((host) => seesAll(host, [...others, again])))
    expect(back).toBeLessThan(3_500)
  })

  test('find each other again after a cut, whoever is isolated', async () => {
    const all = await startAll(5)
    clock.pass(2_000)
    const lone = all[0]!
    const others = all.slice(1)
    isolate(lone, all)
    clock.until('noticed', () => others.every((host) => statusOf(host, lone.id) === 'dead'), 6_000)
    clock.until('and the other way round', () => others.every(({ id }) => statusOf(lone, id) === 'dead'), 20_000)
    clock.pass(30_000)
    world.heal()
    const took = clock.until('healed', () => all.every((host) => seesAll(host, all)))
    expect(took).toBeLessThan(3_500)
  })

  test('a link whose frames are held up is replaced, and nobody is suspect', async () => {
    const all = await startAll(2)
    const [a, b] = all as [Host, Host]
    clock.pass(5_000)
    // As after lost segments: what was sent waits for a timer, while new connections pass.
    const before = a.peer.counters().dials + b.peer.counters().dials
    for (const end of [...a.network.ends, ...b.network.ends]) end.send = () => true
    clock.until('replaced', () => a.peer.counters().dials + b.peer.counters().dials > before, 2_000)
    clock.pass(2_000)
    expect([a.peer.counters().links, b.peer.counters().links]).toEqual([1, 1])
    expect(all.flatMap(statusChanges).filter((change) => change.endsWith('dead'))).toEqual([])
    expect(seesAll(a, all) && seesAll(b, all)).toBe(true)
  })

  test('one that leaves is not dialled any more', async () => {
    const all = await startAll(5)
    clock.pass(2_000)
    const leaver = all[4]!
    leaver.peer.leave()
    clock.until('confirmed', () => leaver.peer.farewellsPending === 0)
    await kill(leaver)
    clock.pass(1_000)
    const dials = all.slice(0, 4).map(({ peer }) => peer.counters().dials)
    clock.pass(30_000)
    expect(all.slice(0, 4).map(({ peer }) => peer.counters().dials)).toEqual(dials)
    expect(all.slice(0, 4).map((host) => statusOf(host, leaver.id))).toEqual(Array(4).fill('left'))
  })
})

describe('addresses', () => {
  test('known from before a restart take the place of seeds', async () => {
    const all = await startAll(3)
    const known = all[1]!.peer.addresses()
    expect(known.map(({ address }) => address).sort()).toEqual([addressOf(0), addressOf(2)])
    await kill(all[1]!)
    clock.pass(5_000)
    await kill(all[0]!)
    const again = await start(1, { seeds: [], known: known.map(({ address }) => address), incarnation: 2 })
    clock.until('found', () => statusOf(again, all[2]!.id) === 'alive')
  })

  test('that were discovered are tried', async () => {
    const a = await start(0)
    const b = await start(1, { seeds: [] })
    clock.pass(5_000)
    expect(statusOf(a, b.id)).toBe(undefined)
    b.peer.discovered(b.address)
    b.peer.discovered(a.address)
    clock.until('found', () => seesAll(a, [b]) && seesAll(b, [a]))
  })
})

test('two nodes with one identity say so, and do not chase each other', async () => {
  const [first] = await startAll(3)
  clock.pass(2_000)
  const signer = await signerOf(1)
  const twin = await start(7, { signer, incarnation: 5 })
  clock.pass(60_000)
  const original = hosts[1]!
  for (const { peer } of [original, twin]) peer.handlers.stranger('10.1.0.9', TWIN_REASON)
  const told = [original, twin].map(({ events }) => events.filter(({ type }) => type === 'twin').length)
  expect(Math.max(...told), 'at least one of them knows').toBeGreaterThan(0)
  expect(Math.max(...told), 'once a minute, whichever way it is noticed').toBe(1)
  const member = first!.peer.core.members(clock.now()).find(({ facts }) => facts.id === signer.id)
  expect(member!.facts.incarnation, 'bounded by time').toBeLessThan(100)
})

test('who is on no list is neither met nor believed', async () => {
  const ids = await Promise.all([0, 1].map(async (index) => (await signerOf(index)).id))
  const admits = (id: string): boolean => ids.includes(id)
  const a = await start(0, { admits })
  const b = await start(1)
  const c = await start(2, { seeds: [addressOf(0), addressOf(1)] })
  clock.until('b knows both', () => seesAll(b, [a, b, c]))
  clock.pass(10_000)
  expect(a.peer.core.members(clock.now()).map(({ facts }) => facts.name)).toEqual(['h000', 'h001'])
  expect(a.events.filter(({ type }) => type === 'stranger').length).toBeGreaterThan(0)
})

test('whoever gives up in the middle of a handshake is a stranger, unless a member lives there', async () => {
  const [a, b] = await startAll(2)
  const strangers = () => a!.events.filter(({ type }) => type === 'stranger')
  a!.peer.handlers.stranger(b!.address.split(':')[0]!, INCOMPLETE_REASON)
  expect(strangers(), 'dialled while this node stood still, and gave up').toEqual([])
  a!.peer.handlers.stranger('10.9.0.1', INCOMPLETE_REASON)
  a!.peer.handlers.stranger(b!.address.split(':')[0]!, 'it has another cluster key')
  expect(strangers()).toHaveLength(2)
})

test('garbage ends the connection and is reported', async () => {
  const a = await start(0)
  const closed: PeerConnection[] = []
  const vandal = new MemoryNetwork(world, 'vandal', '10.9.0.1:1')
  const ignore = (): void => undefined
  await vandal.start({ opened: ignore, frame: ignore, closed: (one) => closed.push(one), stranger: ignore })
  vandal.dial(a.address, 1_000, (outcome) => {
    if (outcome.ok) outcome.connection.send('probe', Uint8Array.of(1, 2, 3))
  })
  clock.until('hung up on', () => closed.length === 1)
  expect(a.events).toEqual([expect.objectContaining({ type: 'stranger', address: '10.9.0.1' })])
  expect(a.peer.counters().framesRefused).toBe(1)
})

test('a hundred members keep links to neighbours only, and close what they needed once', async () => {
  const all = await startAll(100)
  clock.pass(30_000)
  for (const { peer } of all) {
    const neighbours = peer.core.neighbours()
    expect(neighbours.length).toBeLessThan(40)
    expect(neighbours.every((id) => peer.isLinked(id))).toBe(true)
    expect(peer.counters().links).toBeLessThanOrEqual(neighbours.length + 10)
  }
  expect(Math.max(...all.map(({ peer }) => peer.counters().idleLinks))).toBeGreaterThan(0)
}, 120_000)
