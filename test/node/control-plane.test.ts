/** The control loop: what reaches the engine, and when; with a membership and an engine that only remember. */
import { expect, describe, it } from 'vitest'
import { readEngineState, sharedCounters, sharedCountersBuffer, COUNTER } from '../../datapath/counters.ts'
import type { Engine } from '../../datapath/engine.ts'
import { sipKey } from '../../datapath/siphash.ts'
import type { Snapshot } from '../../datapath/snapshot.ts'
import { parseConfig } from '../../node/config.ts'
import { ControlPlane, type HostStatus } from '../../node/control-plane.ts'
import { FakeMembership } from './fake-membership.ts'
import { HOST_ATTACHMENT, memberOf } from './members.ts'

const P = '10.1.0.101'
class FakeEngine implements Engine {
  readonly kind = 'tun'
  readonly shared = sharedCounters(sharedCountersBuffer())
  snapshots: Snapshot[] = []
  leases: number[] = []

  publish(snapshot: Snapshot): void {
    this.snapshots.push(snapshot)
    this.leases.push(snapshot.leaseUntilMs)
  }
  renewLease(untilMs: number): void {
    this.leases.push(untilMs)
  }
  state() {
    return readEngineState(this.shared)
  }
  get latest(): Snapshot {
    return this.snapshots.at(-1)!
  }

  async open(): Promise<void> {}
  async close(): Promise<void> {}
  correctLocalEstablished(): void {}
  exportFlows = async () => []
  importFlows = async () => 0
  onFailure(): void {}
}

function node(policy = 'above-average') {
  const membership = new FakeMembership([
    memberOf('h1', { homes: [P], announces: [{ address: P, epoch: 1 }], accepts: [P] }, { self: true }),
    memberOf('h2', { accepts: [P] }),
    memberOf('h3', { accepts: [P] }),
  ])
  const engine = new FakeEngine()
  const config = parseConfig(
    `name: h1
nodeAddress: 10.1.0.1
publishedRanges: [10.1.0.96/28]
published: [${P}]
services: [{ protocol: tcp, port: 80 }]
policy: { name: ${policy}, slowStartMs: 0 }
load: { fullAt: 100 }
`,
    'c.yaml',
  )
  const hashKey = sipKey(new Uint8Array(16))
  const control = new ControlPlane({
    config,
    attachments: [{ ...HOST_ATTACHMENT, interface: 'none0' }],
    bootId: 'b',
    hashKey,
    membership,
    engine,
  })
  control.tick()
  return { membership, engine, control }
}

function ticks(control: ControlPlane, count: number): void {
  for (let i = 0; i < count; i++) control.tick()
}

describe('a round in which nothing has changed', () => {
  it.each(['above-average', 'ring', 'hash', 'router', 'local'])(
    'renews the lease and publishes nothing: %s',
    (policy) => {
      const { control, engine } = node(policy)
      const leases = engine.leases.length
      ticks(control, 20)
      expect(engine.snapshots).toHaveLength(1)
      expect(engine.leases).toHaveLength(leases + 20)
      expect(engine.leases.at(-1)).toBeGreaterThanOrEqual(engine.leases[0]!)
    },
  )

  it('tells the host the very same plan', () => {
    const { control, membership } = node()
    const plan = control.plan()
    ticks(control, 3)
    expect(control.plan()).toBe(plan)
    membership.change(membership.list.map((member) => (member.self ? member : { ...member, status: 'dead' })))
    control.tick()
    expect(control.plan()).not.toBe(plan)
    expect(control.plan()).toEqual(plan)
  })

  it('reports the load all the same', () => {
    const { control, membership, engine } = node()
    engine.shared.values[COUNTER.activeFlows] = 50
    control.tick()
    expect(membership.loads.at(-1)).toEqual({ load: 0.5, source: 'flows', ageMs: 0 })
  })
})

describe('what is published anew', () => {
  const rows: { name: string; change: (node: ReturnType<typeof setUp>) => void }[] = [
    {
      name: 'a member that became suspect',
      change: ({ membership }) =>
        membership.change(membership.list.map((m, i) => (i === 1 ? { ...m, status: 'suspect' } : m))),
    },
    {
      name: 'a load that makes another member the better choice',
      change: ({ membership }) => (membership.list[1]!.report.load = 0.9),
    },
    {
      name: 'a report that is too old to be believed',
      change: ({ membership }) => (membership.list[1]!.report.ageMs = 4_000),
    },
  ]
  function setUp() {
    const made = node()
    for (const [i, member] of made.membership.list.entries()) member.report.load = [0.5, 0.2, 0.4][i]!
    made.control.tick()
    return made
  }
  it.each(rows)('$name', ({ change }) => {
    const made = setUp()
    const before = made.engine.snapshots.length
    change(made)
    made.control.tick()
    expect(made.engine.snapshots).toHaveLength(before + 1)
    expect(made.engine.latest.version).toBeGreaterThan(made.engine.snapshots.at(-2)!.version)
    ticks(made.control, 3)
    expect(made.engine.snapshots).toHaveLength(before + 1)
  })
})

describe('an unsure node', () => {
  it('announces nothing and keeps new flows, until it is sure again', () => {
    const { control, engine, membership } = node('router')
    expect(engine.latest.addresses).toMatchObject([{ role: 'announcer' }])
    expect(engine.latest.tables[0]).toMatchObject({ localLimit: 0 })
    const sure = engine.latest
    membership.unsure = true
    control.tick()
    expect(engine.latest.addresses).toMatchObject([{ role: 'other' }])
    expect(engine.latest.tables[0]).toMatchObject({ localLimit: Infinity, fallback: sure.tables[0]!.fallback })
    expect([...engine.latest.tables[0]!.ring]).toEqual([])
    expect(engine.latest.members).toEqual(sure.members)
    expect(control.status(HOST)).toMatchObject({ unsure: true, announces: [], localLimit: null })
    expect(control.figures()).toMatchObject({ unsure: true, announced: 0, published: 1 })
    ticks(control, 3)
    expect(engine.snapshots).toHaveLength(2)
    membership.unsure = false
    control.tick()
    expect(engine.latest).toMatchObject({ version: 3, addresses: sure.addresses })
    expect(control.status(HOST)).toMatchObject({ unsure: false, announces: [P] })
  })

  it('leaves a table that knows no flows as it is: every old flow would move', () => {
    const { control, engine, membership } = node('hash')
    const before = engine.latest.tables
    membership.unsure = true
    control.tick()
    expect(engine.latest.tables).toEqual(before)
    expect(engine.latest.addresses).toMatchObject([{ role: 'other' }])
  })

  it('is unsure in the first round after a stall, before gossip has noticed', () => {
    const { control, engine } = node('router')
    stall(800)
    control.tick()
    expect(engine.latest.addresses).toMatchObject([{ role: 'other' }])
    control.tick()
    expect(engine.latest.addresses).toMatchObject([{ role: 'announcer' }])
  })
})

const HOST: HostStatus = { steering: 'on', keys: [], hashKey: '', allowed: null, warnings: [] }

/** Blocks this thread, as a stopped or starved process is blocked. */
function stall(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
