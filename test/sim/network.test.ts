/** The simulated network keeps the seam's promises, as the real one and the plain one do. */
import { describe, expect, test } from 'vitest'
import type { NetworkHandlers, PeerConnection } from '../../gossip/network.ts'
import { Conditions } from '../../lab/simulate/conditions.ts'
import type { Weather } from '../../lab/simulate/conditions.ts'
import type { NetworkModel } from '../../lab/simulate/connection.ts'
import { SimulatedNetwork } from '../../lab/simulate/network.ts'
import type { SimulatedAccess } from '../../lab/simulate/network.ts'
import { ProcessLoop } from '../../lab/simulate/process-loop.ts'
import { randomStream } from '../../lab/simulate/random.ts'
import { VirtualClock } from '../../lab/simulate/virtual-clock.ts'
import { networkCompliance } from '../compliance/network-suite.ts'
import type { NetworkHarness } from '../compliance/network-suite.ts'

const CALM: Weather = { latencyMs: 0.5, jitterMs: 0.2, loss: 0, duplicates: 0, reordered: 0, reorderMs: 0 }
const HOSTS = 8

class World {
  readonly clock = new VirtualClock()
  readonly conditions: Conditions
  readonly network: SimulatedNetwork
  readonly #random = randomStream(1, 'loops')
  #hosts = 0

  constructor(model: NetworkModel, weather: Partial<Weather> = {}) {
    this.conditions = new Conditions(HOSTS, { ...CALM, ...weather }, randomStream(1, 'network'))
    this.network = new SimulatedNetwork(model, this.clock, this.conditions, HOSTS)
  }

  create(key = ''): { network: SimulatedAccess; address: string } {
    const host = this.#hosts++
    const address = `10.1.0.${host + 1}:7600`
    const loop = new ProcessLoop(this.clock, this.#random)
    return { network: this.network.access({ host, id: `peer-${host}`, address, clusterKey: key }, loop), address }
  }
}

function harness(world: World): NetworkHarness {
  const host = (address: string): number => world.network.hostAt(address)!
  return {
    until: (what, condition, withinMs = 20_000) =>
      world.clock.run(withinMs, condition)
        ? Promise.resolve()
        : Promise.reject(new Error(`not within ${withinMs} ms: ${what}`)),
    pass: (ms) => {
      world.clock.run(ms)
      return Promise.resolve()
    },
    create: ({ key = '' } = {}) => Promise.resolve(world.create(key)),
    cut: (a, b) => {
      world.conditions.cut(host(a), host(b))
      world.conditions.cut(host(b), host(a))
    },
    heal: () => world.conditions.heal(),
    close: () => Promise.resolve(),
  }
}

networkCompliance('simulated streams', () => harness(new World('streams')))

interface Node {
  network: SimulatedAccess
  address: string
  opened: PeerConnection[]
  frames: { atMs: number; text: string }[]
  closed: number[]
}

function start(world: World): Node {
  const { network, address } = world.create()
  const node: Node = { network, address, opened: [], frames: [], closed: [] }
  const handlers: NetworkHandlers = {
    opened: (connection) => node.opened.push(connection),
    frame: (_, __, frame) => node.frames.push({ atMs: world.clock.now(), text: Buffer.from(frame).toString() }),
    closed: () => node.closed.push(world.clock.now()),
    stranger: () => {},
  }
  void network.start(handlers)
  return node
}

function connect(world: World, from: Node, to: Node): PeerConnection {
  const got: PeerConnection[] = []
  from.network.dial(to.address, 10_000, (outcome) => {
    if (outcome.ok) got.push(outcome.connection)
  })
  expect(world.clock.run(10_000, () => got.length === 1 && to.opened.length > 0)).toBe(true)
  return got[0]!
}

const text = (value: number | string): Uint8Array => Buffer.from(String(value))

describe('streams', () => {
  test('a lost segment comes 200 ms late, and what follows comes with it, in order', () => {
    const world = new World('streams')
    const [a, b] = [start(world), start(world)]
    const connection = connect(world, a, b)
    const startMs = world.clock.now()
    world.conditions.setPairLoss(0, 1, 1)
    // Lost once, then the way is clear: what is drawn at the moment of sending counts, so one loss is drawn by hand.
    let drawn = 0
    const { conditions } = world
    const isLost = conditions.isLost.bind(conditions)
    conditions.isLost = (from, to) => (drawn++ === 0 ? true : isLost(from, to) && false)
    connection.send('probe', text('lost'))
    world.clock.run(50)
    connection.send('probe', text('behind'))
    world.clock.run(1_000)
    expect(b.frames.map((frame) => frame.text)).toEqual(['lost', 'behind'])
    expect(b.frames[0]!.atMs - startMs).toBeGreaterThan(200)
    expect(b.frames[0]!.atMs - startMs).toBeLessThan(210)
    expect(b.frames[1]!.atMs).toBe(b.frames[0]!.atMs)
  })

  test('a cut one way silences both within 200 ms, since nothing is acknowledged any more', () => {
    const world = new World('streams')
    const [a, b] = [start(world), start(world)]
    const connection = connect(world, a, b)
    world.conditions.cut(1, 0)
    for (let i = 0; i < 10; i++) {
      connection.send('probe', text(i))
      world.clock.run(100)
    }
    expect(b.frames.map((frame) => frame.text)).toEqual(['0', '1'])
    world.conditions.heal()
    world.clock.run(2_000)
    expect(b.frames.map((frame) => frame.text)).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
  })

  test('a killed daemon refuses at once; a host without power says nothing', () => {
    const world = new World('streams')
    const [a, b, c] = [start(world), start(world), start(world)]
    connect(world, a, b)
    connect(world, a, c)
    const killedMs = world.clock.now()
    void b.network.stop()
    c.network.vanish()
    world.conditions.setPower(2, false)
    const outcomes: string[] = []
    for (const { address } of [b, c]) {
      a.network.dial(address, 1_500, (o) => outcomes.push(`${address} ${o.ok ? 'ok' : o.failure}`))
    }
    world.clock.run(10)
    expect(outcomes).toEqual([`${b.address} refused`])
    expect(a.closed).toHaveLength(1)
    expect(a.closed[0]! - killedMs).toBeLessThan(5)
    world.clock.run(1_500)
    expect(outcomes).toEqual([`${b.address} refused`, `${c.address} unreachable`])
    expect(a.closed).toHaveLength(1)
  })

  test('a host that comes back after a power cut knows no old connection', () => {
    const world = new World('streams')
    const [a, b] = [start(world), start(world)]
    const connection = connect(world, a, b)
    b.network.vanish()
    world.conditions.setPower(1, false)
    connection.send('probe', text('unheard'))
    world.clock.run(1_000)
    expect(a.closed).toEqual([])
    world.conditions.setPower(1, true)
    world.clock.run(2_000)
    expect(a.closed).toHaveLength(1)
    expect(b.frames).toEqual([])
  })

  test('keep their order whatever is lost, in both directions', () => {
    const world = new World('streams', { loss: 0.2 })
    const [a, b] = [start(world), start(world)]
    const connection = connect(world, a, b)
    const sent = Array.from({ length: 300 }, (_, i) => String(i))
    for (const i of sent) {
      connection.send(Number(i) % 2 === 0 ? 'probe' : 'bulk', text(i))
      b.opened[0]!.send('probe', text(i))
      world.clock.run(10)
    }
    world.clock.run(60_000)
    expect(b.frames.map((frame) => frame.text)).toEqual(sent)
    expect(a.frames.map((frame) => frame.text)).toEqual(sent)
  })

  test('a RST that is lost is sent again when the other side speaks', () => {
    const world = new World('streams')
    const [a, b] = [start(world), start(world)]
    const connection = connect(world, a, b)
    world.conditions.setPairLoss(0, 1, 1)
    connection.abort('enough')
    world.clock.run(10_000)
    expect([a.closed.length, b.closed.length]).toEqual([1, 0])
    world.conditions.heal()
    b.opened[0]!.send('probe', text('are you there?'))
    world.clock.run(10)
    expect([a.closed.length, b.closed.length, a.frames.length]).toEqual([1, 1, 0])
  })

  test('a lost SYN costs a second', () => {
    const world = new World('streams')
    const [a, b] = [start(world), start(world)]
    let drawn = 0
    world.conditions.isLost = () => drawn++ === 0
    const done: number[] = []
    a.network.dial(b.address, 3_000, () => done.push(world.clock.now()))
    world.clock.run(3_000)
    expect(done[0]).toBeGreaterThan(1_000)
    expect(done[0]).toBeLessThan(1_100)
  })
})

describe('datagrams', () => {
  test('are lost, doubled and overtaken, each on its own', () => {
    const world = new World('datagrams', { duplicates: 0.1, reordered: 0.2, reorderMs: 50 })
    const [a, b] = [start(world), start(world)]
    const connection = connect(world, a, b)
    world.conditions.setPairLoss(0, 1, 0.2)
    for (let i = 0; i < 1_000; i++) {
      connection.send('probe', text(i))
      world.clock.run(1)
    }
    world.clock.run(1_000)
    const seen = b.frames.map((frame) => Number(frame.text))
    const distinct = new Set(seen)
    expect(distinct.size).toBeGreaterThan(750)
    expect(distinct.size).toBeLessThan(880)
    expect(seen.length - distinct.size).toBeGreaterThan(20)
    expect(seen.filter((value, i) => i > 0 && value < seen[i - 1]!).length).toBeGreaterThan(50)
  })
})

describe('a paused daemon', () => {
  test('hears nothing meanwhile and everything afterwards, in order; its timers are late', () => {
    const world = new World('streams')
    const [a, b] = [start(world), start(world)]
    const connection = connect(world, a, b)
    const startMs = world.clock.now()
    const rang: number[] = []
    b.network.loop.schedule(startMs + 100, () => rang.push(world.clock.now() - startMs))
    b.network.loop.pause(500)
    for (let i = 0; i < 4; i++) {
      world.clock.run(50)
      connection.send('probe', text(i))
    }
    expect([b.frames, rang]).toEqual([[], []])
    world.clock.run(500)
    expect(b.frames.map((frame) => frame.text)).toEqual(['0', '1', '2', '3'])
    expect(b.frames.map((frame) => frame.atMs - startMs)).toEqual([500, 500, 500, 500])
    expect(rang).toEqual([500])
  })

  test('that is slow works off one input after the other', () => {
    const world = new World('streams')
    const [a, b] = [start(world), start(world)]
    const connection = connect(world, a, b)
    const startMs = world.clock.now()
    b.network.loop.slow(20)
    for (let i = 0; i < 3; i++) connection.send('probe', text(i))
    world.clock.run(500)
    expect(b.frames.map((frame) => Math.floor((frame.atMs - startMs) / 20))).toEqual([1, 2, 3])
  })
})
