/** Several keys on one port: the wire protocol of @libp2p/pnet, and a key changed under a running cluster. */
import { connect } from 'node:net'
import { noise } from '@libp2p/noise'
import { preSharedKey } from '@libp2p/pnet'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { Libp2p } from 'libp2p'
import { afterEach, describe, expect, test } from 'vitest'
import { generateClusterKey } from '../../gossip/cluster-key.ts'
import { KEYS_MAX } from '../../gossip/key-ring.ts'
import { Libp2pNetwork } from '../../gossip/libp2p-network.ts'
import type { DialOutcome, PeerConnection } from '../../gossip/network.ts'
import { probeSeeds } from '../../gossip/seeds.ts'
import { freePort } from '../compliance/free-port.ts'
import { Cleanups, HOST, until } from './loopback-cluster.ts'

const newKey = (): Uint8Array => Buffer.from(generateClusterKey())
const OLD = newKey()
const NEW = newKey()
const OTHER = newKey()
const DIAL_MS = 1_500
const HANDSHAKE_MS = 700

const cleanups = new Cleanups()
afterEach(cleanups.undoAll)

interface Listener {
  network: Libp2pNetwork
  address: string
  opened: PeerConnection[]
  closed: PeerConnection[]
  frames: string[]
  strangers: string[]
}

async function listen(...keys: Uint8Array[]): Promise<Listener> {
  const port = await freePort()
  const network = await Libp2pNetwork.create({
    clusterKeys: keys,
    listen: { address: HOST, port },
    connectionsMax: 64,
    handshakeMs: HANDSHAKE_MS,
    frameBytesMax: 1_024,
  })
  const listener: Listener = { network, address: `${HOST}:${port}`, opened: [], closed: [], frames: [], strangers: [] }
  await network.start({
    opened: (connection) => listener.opened.push(connection),
    frame: (_connection, _lane, frame) => listener.frames.push(Buffer.from(frame).toString()),
    closed: (connection) => listener.closed.push(connection),
    stranger: (_address, reason) => listener.strangers.push(reason),
  })
  cleanups.add(() => network.stop())
  return listener
}

function dial({ network }: Listener, address: string): Promise<DialOutcome> {
  return new Promise((resolve) => network.dial(address, DIAL_MS, resolve))
}

/** A node with the original protector. */
async function pnetNode(key: Uint8Array): Promise<{ node: Libp2p; address: string }> {
  const port = await freePort()
  const node = await createLibp2p({
    addresses: { listen: [`/ip4/${HOST}/tcp/${port}`] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionProtector: preSharedKey({ psk: key }),
    connectionMonitor: { enabled: false },
  })
  cleanups.add(() => node.stop())
  return { node, address: `${HOST}:${port}` }
}

describe('the wire protocol is that of @libp2p/pnet', () => {
  test.each([
    { name: 'the key that we dial with', keys: [OLD, NEW], theirs: OLD },
    { name: 'another of our keys', keys: [NEW, OLD], theirs: OLD },
    { name: 'the last of four', keys: [newKey(), newKey(), newKey(), OLD], theirs: OLD },
  ])('who listens there with $name is dialled', async ({ keys, theirs }) => {
    const [ours, { node, address }] = [await listen(...keys), await pnetNode(theirs)]
    const got: string[] = []
    await node.handle('/dpr/probe/1', (stream) => {
      stream.addEventListener('message', ({ data }) => got.push(Buffer.from(data.subarray().subarray(4)).toString()))
    })
    // With a wrong key it may just wait for more: then the next dial tries the next key. 4 keys, 3 misunderstandings.
    let outcome: DialOutcome = { ok: false, failure: 'unreachable' }
    for (let i = 0; i < 4 && !outcome.ok; i++) outcome = await dial(ours, address)
    if (!outcome.ok) throw new Error(outcome.failure)
    outcome.connection.send('probe', Buffer.from('a frame'))
    await until('it arrives', () => got.length > 0)
    expect(got).toEqual(['a frame'])
  })

  test.each([
    { name: 'our first key', keys: [OLD, NEW] },
    { name: 'our second key', keys: [NEW, OLD] },
  ])('who dials from there with $name gets in', async ({ keys }) => {
    const [ours, { node }] = [await listen(...keys), await pnetNode(OLD)]
    const [host, port] = ours.address.split(':')
    const connection = await node.dial(multiaddr(`/ip4/${host}/tcp/${port}`))
    const stream = await connection.newStream('/dpr/probe/1')
    stream.send(Buffer.from([0, 0, 0, 5, ...Buffer.from('hello')]))
    await until('it arrives', () => ours.frames.length > 0)
    expect(ours.frames).toEqual(['hello'])
    expect(ours.opened[0]!.peer).toBe(node.peerId.toString())
  })

  test('who dials from there with another key is a stranger', async () => {
    const [ours, { node }] = [await listen(NEW, OTHER), await pnetNode(OLD)]
    const [host, port] = ours.address.split(':')
    await expect(node.dial(multiaddr(`/ip4/${host}/tcp/${port}`))).rejects.toThrow()
    await until('noticed', () => ours.strangers.length > 0)
    expect(ours.opened).toEqual([])
  })
})

describe('two key rings', () => {
  test.each([
    { name: 'the same key', near: [OLD], far: [OLD], outcome: 'ok' },
    { name: 'step 1, we have not followed', near: [OLD], far: [OLD, NEW], outcome: 'ok' },
    { name: 'step 2, they have not followed', near: [NEW, OLD], far: [OLD, NEW], outcome: 'ok' },
    { name: 'step 3, they have not followed', near: [NEW], far: [NEW, OLD], outcome: 'ok' },
    { name: 'we dial with one that they have dropped', near: [OLD, NEW], far: [NEW], outcome: 'ok' },
    { name: 'nothing in common', near: [OLD, OTHER], far: [NEW], outcome: 'key' },
  ])('$name: $outcome', async ({ near, far, outcome }) => {
    const [a, b] = [await listen(...near), await listen(...far)]
    const startMs = performance.now()
    const got = await dial(a, b.address)
    expect(got.ok ? 'ok' : got.failure).toBe(outcome)
    expect(performance.now() - startMs, 'no waiting for time to run out').toBeLessThan(DIAL_MS / 2)
    if (outcome === 'ok') await until('open', () => b.opened.length === 1)
    else await until('noticed', () => b.strangers.length > 0)
  })

  test('a key that was met is tried first the next time, until the first key fits again', async () => {
    const [a, b] = [await listen(NEW, OLD), await listen(OLD)]
    for (let i = 0; i < 2; i++) expect((await dial(a, b.address)).ok).toBe(true)
    expect(b.strangers, 'one misunderstanding, not two').toHaveLength(1)
    b.network.setKeys([NEW])
    for (let i = 0; i < 2; i++) expect((await dial(a, b.address)).ok).toBe(true)
    expect(b.strangers).toHaveLength(2)
  })

  test('name the connections whose key is gone, in both directions', async () => {
    const [a, b, c] = [await listen(OLD, NEW), await listen(OLD, NEW), await listen(NEW)]
    const first = await dial(a, b.address)
    const second = await dial(c, b.address)
    await until('open', () => b.opened.length === 2)
    expect(b.network.setKeys([NEW, OLD])).toEqual([])
    expect(b.network.setKeys([NEW])).toEqual([b.opened[0]])
    expect(a.network.setKeys([NEW])).toEqual(first.ok ? [first.connection] : [])
    expect(c.network.setKeys([NEW])).toEqual([])
    expect(second.ok).toBe(true)
  })

  test('refuse none, too many, and what is no key', async () => {
    const a = await listen(OLD)
    for (const keys of [[], Array.from({ length: KEYS_MAX + 1 }, newKey), [Buffer.from('secret')]]) {
      expect(() => a.network.setKeys(keys)).toThrow(expect.objectContaining({ code: 'E_GOSSIP_CLUSTER_KEY' }))
    }
    expect((await dial(await listen(OLD), a.address)).ok, 'the old ones still count').toBe(true)
  })
})

describe('a dialler without a key', () => {
  test.each([
    { name: 'says nothing', bytes: 0 },
    { name: 'sends half a nonce', bytes: 12 },
    { name: 'sends a nonce', bytes: 24 },
    { name: 'sends a nonce and some', bytes: 40 },
    { name: 'sends a nonce and garbage', bytes: 1_000 },
  ])('that $name is hung up on in time', async ({ bytes }) => {
    const ours = await listen(OLD, NEW)
    const [host, port] = ours.address.split(':')
    const socket = connect(Number(port), host)
    cleanups.add(() => void socket.destroy())
    let over = false
    socket.on('error', () => undefined).on('close', () => (over = true))
    socket.resume()
    socket.write(Buffer.alloc(bytes, 7))
    await until('hung up', () => over, HANDSHAKE_MS + 1_000)
    expect(ours.strangers).toHaveLength(1)
    expect(ours.opened).toEqual([])
  })
})

test('one host without a key gets no more than a share of the places for handshakes', async () => {
  const [ours, member] = [await listen(NEW), await listen(NEW)]
  const [host, port] = ours.address.split(':')
  let hungUp = 0
  for (let i = 0; i < 50; i++) {
    const socket = connect({ port: Number(port), host: host!, localAddress: '127.0.0.99' })
    cleanups.add(() => void socket.destroy())
    socket.on('error', () => undefined).on('close', () => hungUp++)
    socket.resume()
  }
  await until('the last of them are hung up on', () => hungUp === 50 - 32, HANDSHAKE_MS)
  expect((await dial(member, ours.address)).ok).toBe(true)
})

test('seeds are asked with every key', async () => {
  const seed = await listen(NEW)
  const ask = (...clusterKeys: Uint8Array[]): Promise<unknown> => probeSeeds({ clusterKeys, seeds: [seed.address] })
  expect(await ask(OLD, NEW)).toEqual([{ seed: seed.address, outcome: 'joined' }])
  expect(await ask(OLD, OTHER)).toEqual([{ seed: seed.address, outcome: 'refused-key' }])
})

test('five members change their key one by one: no link is missing, and nobody ever suspect', async () => {
  // Patient, so that a busy machine is not taken for a gap.
  const config = {
    probeTimeoutMs: 500,
    probeDeadlineMs: 1_000,
    probeFinalMs: 2_000,
    suspicionMinMs: 4_000,
    silentStreamMs: 3_000,
  }
  const nodes = await cleanups.startCluster(5, { keys: [OLD], config })
  const fewestLinks = (): number => Math.min(...nodes.map(({ membership }) => membership.counters().links))
  const mostConnections = (): number => Math.max(...nodes.map(({ membership }) => membership.counters().connections))
  await until('one link a pair', () => fewestLinks() === 4 && mostConnections() === 4)
  const before = nodes.map(({ events }) => events.length)
  let fewest = 4
  const settled = (): boolean => {
    fewest = Math.min(fewest, fewestLinks())
    return mostConnections() === 4
  }
  for (const keys of [[OLD, NEW], [NEW, OLD], [NEW]]) {
    for (const { membership } of nodes) {
      membership.setKeys(keys)
      await until('settled', settled)
    }
  }
  const received = nodes.map(({ membership }) => membership.counters().framesReceived)
  await until('they go on', () =>
    nodes.every(({ membership }, i) => membership.counters().framesReceived > received[i]! + 20),
  )
  expect(fewest).toBe(4)
  expect(nodes.map(({ events }, i) => events.slice(before[i]))).toEqual(nodes.map(() => []))
  const dials = nodes.map(({ membership }) => membership.counters().dials)
  expect(Math.max(...dials), 'each link was made anew').toBeGreaterThan(4)
  // Whoever has only the old key is a stranger now.
  const outcomes = await probeSeeds({ clusterKeys: [OLD], seeds: [`${HOST}:${nodes[0]!.port}`] })
  expect(outcomes[0]!.outcome).toBe('refused-key')
})
