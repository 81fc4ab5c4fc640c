/** Membership over real libp2p on 127.0.0.1: several nodes in one process. Conditions are polled against deadlines. */
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { generateClusterKey } from '../../gossip/cluster-key.ts'
import type { GossipConfig } from '../../gossip/config.ts'
import { probeSeeds } from '../../gossip/seeds.ts'
import { createMembership } from '../../gossip/shell.ts'
import type { GossipCounters } from '../../gossip/shell.ts'
import type { Membership, MembershipEvent } from '../../gossip/types.ts'
import { factsOf, identityOf } from './fixtures.ts'

const HOST = '127.0.0.1'
const KEY = Buffer.from(generateClusterKey())
const DEADLINE_MS = 10_000

interface Node {
  membership: Membership & { counters(): GossipCounters }
  events: MembershipEvent[]
  port: number
}

/** Undone in reverse order, also when a test fails. */
const cleanups: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

interface NodeOptions {
  port?: number
  /** What others are told to dial; by default the port itself. */
  advertised?: number
  seeds?: number[]
  key?: Uint8Array
  config?: Partial<GossipConfig>
}

async function createNode(index: number, options: NodeOptions = {}): Promise<Node> {
  const port = options.port ?? (await freePort())
  const membership = await createMembership({
    privateKey: await identityOf(index),
    clusterKey: options.key ?? KEY,
    listen: { address: HOST, port },
    seeds: (options.seeds ?? []).map((seed) => `${HOST}:${seed}`),
    facts: factsOf(index, { gossipAddress: HOST, gossipPort: options.advertised ?? port }),
    software: 'test',
    ...(options.config === undefined ? {} : { config: options.config }),
  })
  const events: MembershipEvent[] = []
  membership.onEvent((event) => events.push(event))
  return { membership, events, port }
}

async function startNode(index: number, options: NodeOptions = {}): Promise<Node> {
  const node = await createNode(index, options)
  await node.membership.start()
  cleanups.push(() => node.membership.stop(false))
  return node
}

async function until(what: string, condition: () => boolean, deadlineMs = DEADLINE_MS): Promise<number> {
  const start = performance.now()
  while (!condition()) {
    if (performance.now() - start > deadlineMs) throw new Error(`not within ${deadlineMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return performance.now() - start
}

function statusOf(viewer: Node, id: string): string | undefined {
  return viewer.membership.members().find((member) => member.facts.id === id)?.status
}

function seesAll(viewer: Node, nodes: Node[]): boolean {
  return nodes.every((node) => statusOf(viewer, node.membership.id) === 'alive')
}

async function startCluster(size: number): Promise<Node[]> {
  const nodes = [await startNode(0)]
  for (let i = 1; i < size; i++) nodes.push(await startNode(i, { seeds: [nodes[0]!.port] }))
  await until('all see all', () => nodes.every((node) => seesAll(node, nodes)))
  return nodes
}

describe('a cluster', () => {
  test('joins through one seed, spreads reports and facts, notices a kill at once, hears a leave', async () => {
    const nodes = await startCluster(4)
    const [first, second, third, fourth] = nodes as [Node, Node, Node, Node]
    expect(first.membership.members().map((member) => member.facts.name)).toEqual(['h000', 'h001', 'h002', 'h003'])
    expect(first.membership.lastExchangeAgeMs()).toBeLessThan(DEADLINE_MS)

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
    const nodes = await startCluster(3)
    const [first, second, third] = nodes as [Node, Node, Node]
    await third.membership.stop(false)
    await until('noticed', () => [first, second].every((node) => statusOf(node, third.membership.id) === 'dead'))
    const again = await startNode(2, { port: third.port })
    expect(again.membership.id).toBe(third.membership.id)
    await until('redialled and back', () => [first, second, again].every((node) => seesAll(node, nodes)))
  })

  test('settles on one connection for each pair, and stays quiet', async () => {
    const nodes = await startCluster(3)
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
    const inside = await startNode(0)
    const outside = await startNode(1, { seeds: [inside.port], key: Buffer.from(generateClusterKey()) })
    const strangers = (node: Node): MembershipEvent[] => node.events.filter(({ type }) => type === 'stranger')
    await until('both report', () => strangers(inside).length > 0 && strangers(outside).length > 0)
    // Three more tries with a third key: still one report inside, for they come from the same address.
    const outcomes = await probeSeeds({
      clusterKey: Buffer.from(generateClusterKey()),
      seeds: [`${HOST}:${inside.port}`, `${HOST}:${await freePort()}`],
    })
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['refused-key', 'unreachable'])
    expect(strangers(inside)).toHaveLength(1)
    expect(strangers(outside)).toHaveLength(1)
    expect(inside.membership.members()).toHaveLength(1)
    expect(outside.membership.members()).toHaveLength(1)
  })

  test('is told from the right one before joining', async () => {
    const inside = await startNode(0)
    const outcomes = await probeSeeds({ clusterKey: KEY, seeds: [`${HOST}:${inside.port}`] })
    expect(outcomes).toEqual([{ seed: `${HOST}:${inside.port}`, outcome: 'joined' }])
    expect(inside.membership.members()).toHaveLength(1)
  })
})

test('a port in use is named, with what to do', async () => {
  const first = await startNode(0)
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

/** A wire between two nodes that can be cut without either end being told. */
async function startWire(target: number): Promise<{ port: number; cut(): void; mend(): void }> {
  const sockets = new Set<Socket>()
  let isCut = false
  const server: Server = createServer((near) => {
    const far = connect(target, HOST)
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      // A cut wire swallows: even the end of a connection does not get through.
      from.on('data', (data) => (isCut ? undefined : to.write(data)))
      from.on('error', () => undefined)
      from.on('close', () => {
        sockets.delete(from)
        if (!isCut) to.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve))
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    port: (server.address() as AddressInfo).port,
    cut: () => {
      isCut = true
    },
    mend: () => {
      isCut = false
    },
  }
}

test('a silent cut: links are given up, members die of silence, and come back when it heals', async () => {
  const target = await freePort()
  const wire = await startWire(target)
  const far = await startNode(0, { port: target, advertised: wire.port })
  // The far node knows no address of the near one but through the near one's own dial.
  const near = await startNode(1, { seeds: [wire.port], advertised: 9 })
  await until('joined', () => seesAll(near, [far]) && seesAll(far, [near]))
  wire.cut()
  await until('the near side gives up', () => statusOf(near, far.membership.id) === 'dead')
  expect(near.membership.members().find((member) => !member.self)?.deadReason).toBe('silent')
  expect(near.membership.counters().silentLinks).toBeGreaterThan(0)
  wire.mend()
  await until('healed', () => seesAll(near, [far]) && seesAll(far, [near]))
})
