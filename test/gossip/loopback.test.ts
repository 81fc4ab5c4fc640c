/** Membership over real libp2p on 127.0.0.1: several nodes in one process. Conditions are polled against deadlines. */
import { afterEach, describe, expect, test } from 'vitest'
import { generateClusterKey } from '../../gossip/cluster-key.ts'
import { probeSeeds } from '../../gossip/seeds.ts'
import { createMembership } from '../../gossip/shell.ts'
import type { MembershipEvent } from '../../gossip/types.ts'
import { freePort } from '../compliance/free-port.ts'
import { Wire } from '../compliance/wire.ts'
import { factsOf, identityOf } from './fixtures.ts'
import { Cleanups, HOST, KEY, createNode, seesAll, statusOf, until } from './loopback-cluster.ts'
import type { Node } from './loopback-cluster.ts'

const cleanups = new Cleanups()
afterEach(cleanups.undoAll)

describe('a cluster', () => {
  test('joins through one seed, spreads reports and facts, notices a kill at once, hears a leave', async () => {
    const nodes = await cleanups.startCluster(4)
    const [first, second, third, fourth] = nodes as [Node, Node, Node, Node]
    expect(first.membership.members().map((member) => member.facts.name)).toEqual(['h000', 'h001', 'h002', 'h003'])
    expect(first.membership.lastExchangeAgeMs()).toBeLessThan(10_000)

    third.membership.setLoad({ load: 0.75, source: 'flows', ageMs: 10 })
    third.membership.setFacts(factsOf(2, { gossipAddress: HOST, gossipPort: third.port, draining: true }))
    await until('facts and report arrive', () =>
      [first, second, fourth].every((node) => {
        const member = node.membership.members().find(({ facts }) => facts.id === third.membership.id)
        return member?.facts.draining === true && member.report.load === 0.75 && member.reportVersion > 0
      }),
    )
    expect(first.events.some(({ type }) => type === 'facts')).toBe(true)

    await fourth.membership.stop(false)
    const survivors = [first, second, third]
    const isDead = (): boolean => survivors.every((node) => statusOf(node, fourth.membership.id) === 'dead')
    const noticedMs = await until('the kill is noticed', isDead)
    console.log(`killed daemon, 4 nodes on loopback: dead in all views after ${noticedMs.toFixed(0)} ms`)
    for (const node of survivors) {
      const member = node.membership.members().find(({ facts }) => facts.id === fourth.membership.id)
      expect(member?.deadReason).toBe('daemon-only')
    }

    await third.membership.stop(true)
    for (const node of [first, second]) expect(statusOf(node, third.membership.id)).toBe('left')
  })

  test('takes a restarted node back, though nobody tells it where the others are', async () => {
    const nodes = await cleanups.startCluster(3)
    const [first, second, third] = nodes as [Node, Node, Node]
    await third.membership.stop(false)
    await until('noticed', () => [first, second].every((node) => statusOf(node, third.membership.id) === 'dead'))
    const again = await cleanups.startNode(2, { port: third.port })
    expect(again.membership.id).toBe(third.membership.id)
    await until('redialled and back', () => [first, second, again].every((node) => seesAll(node, nodes)))
  })

  test('settles on one connection for each pair, and stays quiet', async () => {
    const nodes = await cleanups.startCluster(3)
    const before = nodes.map((node) => node.events.length)
    await until('settled', () => nodes.every((node) => node.membership.counters().connections === 2))
    await until('some exchanges', () => nodes.every((node) => node.membership.counters().framesReceived > 30))
    for (const [i, node] of nodes.entries()) {
      const news = node.events.slice(before[i]).filter(({ type }) => type !== 'status')
      expect(news).toEqual([])
      expect(node.membership.counters()).toMatchObject({ framesRefused: 0, factsRefused: 0 })
    }
  })
})

describe('a wrong cluster key', () => {
  test('is refused, reported once, and teaches neither side anything', async () => {
    const inside = await cleanups.startNode(0)
    const outside = await cleanups.startNode(1, { seeds: [inside.port], keys: [Buffer.from(generateClusterKey())] })
    const strangers = (node: Node): MembershipEvent[] => node.events.filter(({ type }) => type === 'stranger')
    await until('both report', () => strangers(inside).length > 0 && strangers(outside).length > 0)
    // Three more tries with a third key: still one report inside, for they come from the same address.
    const outcomes = await probeSeeds({
      clusterKey: Buffer.from(generateClusterKey()),
      seeds: [`${HOST}:${inside.port}`, `${HOST}:${await freePort()}`],
    })
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['refused-key', 'unreachable'])
    expect(strangers(inside)).toEqual([{ type: 'stranger', address: HOST, reason: 'it has another cluster key' }])
    expect(strangers(outside)).toHaveLength(1)
    expect(inside.membership.members()).toHaveLength(1)
    expect(outside.membership.members()).toHaveLength(1)
  })

  test('is told from the right one before joining', async () => {
    const inside = await cleanups.startNode(0)
    const outcomes = await probeSeeds({ clusterKey: KEY, seeds: [`${HOST}:${inside.port}`] })
    expect(outcomes).toEqual([{ seed: `${HOST}:${inside.port}`, outcome: 'joined' }])
    expect(inside.membership.members()).toHaveLength(1)
  })
})

test('a port in use is named, with what to do', async () => {
  const first = await cleanups.startNode(0)
  const second = await createNode(1, { port: first.port })
  await expect(second.membership.start()).rejects.toMatchObject({
    code: 'E_GOSSIP_PORT_IN_USE',
    message: expect.stringContaining(`${HOST}:${first.port}`) as string,
    remedy: expect.stringContaining('gossip.port') as string,
  })
})

test('an address that is not ours is named', async () => {
  const membership = await createMembership({
    privateKey: await identityOf(0),
    clusterKey: KEY,
    listen: { address: '192.0.2.1', port: 7600 },
    seeds: [],
    facts: factsOf(0, { gossipAddress: '192.0.2.1' }),
    software: 'test',
  })
  await expect(membership.start()).rejects.toMatchObject({ code: 'E_GOSSIP_ADDRESS_UNAVAILABLE' })
})

test('a silent cut: links are given up, members die of silence, and come back when it heals', async () => {
  const target = await freePort()
  const wire = await Wire.open(target)
  cleanups.add(() => wire.close())
  const far = await cleanups.startNode(0, { port: target, advertised: wire.port })
  // The far node knows no address of the near one but through the near one's own dial.
  const near = await cleanups.startNode(1, { seeds: [wire.port], advertised: 9 })
  await until('joined', () => seesAll(near, [far]) && seesAll(far, [near]))
  wire.hold()
  await until('the near side gives up', () => statusOf(near, far.membership.id) === 'dead')
  expect(near.membership.members().find((member) => !member.self)?.deadReason).toBe('silent')
  await until('its link is given up', () => near.membership.counters().silentLinks > 0)
  wire.release()
  await until('healed', () => seesAll(near, [far]) && seesAll(far, [near]))
})

test('a copied identity: the node that meets its double says so', async () => {
  const [first, second] = await cleanups.startCluster(2)
  const twin = await cleanups.startNode(1, { seeds: [first!.port, second!.port] })
  await until('noticed', () => [second!, twin].every(({ events }) => events.some(({ type }) => type === 'twin')))
  expect([second!, twin].map(({ events }) => events.filter(({ type }) => type === 'twin').length)).toEqual([1, 1])
})

test('members known from before a restart take the place of seeds, and are to be had for the next one', async () => {
  const nodes = await cleanups.startCluster(3)
  const [first, second, third] = nodes as [Node, Node, Node]
  expect(
    third.membership
      .addresses()
      .map(({ address }) => address)
      .sort(),
  ).toEqual([first, second].map(({ port }) => `${HOST}:${port}`).sort())
  await third.membership.stop(true)
  const again = await cleanups.startNode(2, { known: [second.port] })
  await until('back', () => [first, second, again].every((node) => seesAll(node, nodes)))
  const found = await cleanups.startNode(3)
  found.membership.discovered(`${HOST}:${first.port}`)
  found.membership.discovered('not an address')
  await until('found', () => seesAll(first, [found]))
})
