import { describe, expect, it } from 'vitest'
import { MEMBERS_MAX, readEngineState, sharedCounters, sharedCountersBuffer } from '../../datapath/counters.ts'
import type { Member } from '../../gossip/types.ts'
import { hostPlan } from '../../node/host-plan.ts'
import { parseBlock } from '../../node/ipv4.ts'
import { MemberHistory } from '../../node/member-history.ts'
import { MemberIndex } from '../../node/member-index.ts'
import { buildSnapshot, sameRouting } from '../../node/snapshot-builder.ts'
import { peersJson } from '../../node/status.ts'
import { buildView, type ViewInputs } from '../../node/view.ts'
import { policies } from '../../policy/policies.ts'
import { HOST_ATTACHMENT, memberOf } from './members.ts'

const P = '10.1.0.101'
const LAN_B = [{ segment: 'lan-b', address: '10.2.0.3', mac: '02:00:00:00:00:33', mtu: 1_500 }]
class Cluster {
  readonly shared = sharedCounters(sharedCountersBuffer())
  readonly index = new MemberIndex(MEMBERS_MAX)
  readonly history = new MemberHistory(-1_000_000, 10_000)
  nowMs = 0
  members: Member[] = [
    memberOf('h1', { homes: [P], announces: [{ address: P, epoch: 1 }], accepts: [P] }, { self: true }),
    memberOf('h2', { accepts: [P] }),
    memberOf('h3', { accepts: [P], attachments: LAN_B, gossipAddress: '10.2.0.3' }),
  ]

  look(changes: Partial<ViewInputs> = {}) {
    return buildView({
      members: this.members,
      engine: readEngineState(this.shared),
      attachments: [HOST_ATTACHMENT],
      addressing: 'auto',
      ranges: [parseBlock('10.1.0.96/28')!],
      gateways: new Set(),
      index: this.index,
      history: this.history,
      hashes: (id) => [id.length, id.charCodeAt(id.length - 1)],
      rendezvous: (_address, id) => id.charCodeAt(id.length - 1),
      nowMs: this.nowMs,
      ...changes,
    })
  }

  snapshot(changes: Partial<ViewInputs> = {}, version = 1) {
    const view = this.look(changes)
    const settings = {
      name: 'ring',
      tolerance: 0,
      z: 0,
      minLoad: 0,
      slowStartMs: 0,
      ringSlotsMax: 16,
      maglevSlots: 31,
      reportFreshMs: 2_000,
      reportStaleMs: 5_000,
    } as const
    return buildSnapshot({
      version,
      view,
      table: policies.ring(view.policyView, settings, 1),
      services: [{ protocol: 'tcp', port: 80 }],
      ifindexOf: new Map([['10.1.0.1', 7]]),
      mtu: 1_500,
      unsure: false,
      leaseUntilMs: 99,
    })
  }

  replace(index: number, changes: Partial<Member>): void {
    this.members = this.members.map((m, i) => (i === index ? { ...m, ...changes } : m))
  }
}

describe('view', () => {
  it('chooses mac on a common segment and ipip across', () => {
    const { members } = new Cluster().look()
    expect(members.map(({ mode }) => mode)).toEqual(['self', 'mac', 'ipip'])
  })

  it('obeys a forced addressing mode; who cannot be reached by mac is unreachable', () => {
    const forced = new Cluster()
    expect(forced.look({ addressing: 'ipip' }).members.map(({ mode }) => mode)).toEqual(['self', 'ipip', 'ipip'])
    const mac = forced.look({ addressing: 'mac' })
    expect(mac.members.map(({ mode }) => mode)).toEqual(['self', 'mac', undefined])
    expect(mac.members.map(({ policy }) => policy.reachable)).toEqual([true, true, false])
  })

  it('sends nothing to a member that does not yet accept the addresses announced here', () => {
    const cluster = new Cluster()
    cluster.replace(1, { facts: { ...cluster.members[1]!.facts, accepts: [] } })
    expect(cluster.look().members.map(({ policy }) => policy.reachable)).toEqual([true, false, true])
    expect(cluster.snapshot().members.map((m) => m?.eligible)).toEqual([true, false, true])
  })

  it('announces what it claims, unless somebody claims it with a better right', () => {
    const cluster = new Cluster()
    expect(cluster.look().announced).toEqual([P])
    const rival = { ...cluster.members[1]!.facts, homes: [P], announces: [{ address: P, epoch: 2 }] }
    cluster.replace(1, { facts: rival })
    const view = cluster.look()
    expect(view.announced).toEqual([])
    expect(view.warnings).toEqual([`${P} is published by h1 and h2; h2 announces it`])
  })

  it('warns of two members with one name', () => {
    const cluster = new Cluster()
    cluster.replace(1, { facts: { ...cluster.members[1]!.facts, name: 'h3' } })
    expect(cluster.look().warnings).toEqual(['2 members are named h3'])
  })

  it('remembers how many flows a member had when its latest report was taken', () => {
    const cluster = new Cluster()
    const flowsTo = (): [number, number] => {
      const { policy } = cluster.look().members[1]!
      return [policy.myFlows, policy.myFlowsAtReport]
    }
    for (const [atMs, flows] of [
      [0, 0],
      [100, 10],
      [200, 20],
      [300, 30],
    ] as const) {
      cluster.nowMs = atMs
      cluster.shared.flowsByMember[1] = flows
      expect(flowsTo()).toEqual([flows, 0])
    }
    // Taken 150 ms ago, at 150 ms: what was sent from then on is not in it.
    cluster.replace(1, { reportVersion: 2, report: { load: 0.1, source: 'flows', ageMs: 150 } })
    expect(flowsTo()).toEqual([30, 10])
    cluster.nowMs = 400
    cluster.shared.flowsByMember[1] = 35
    expect(flowsTo()).toEqual([35, 10])
  })

  it('ramps up a member that joins or recovers, not those that are there when it starts', () => {
    const cluster = new Cluster()
    cluster.look()
    cluster.replace(1, { status: 'dead' })
    cluster.nowMs = 5_000
    cluster.look()
    cluster.replace(1, { status: 'alive' })
    cluster.nowMs = 6_000
    expect(cluster.look().members[1]!.policy.eligibleForMs).toBe(0)
    cluster.nowMs = 9_000
    expect(cluster.look().members[1]!.policy.eligibleForMs).toBe(3_000)
    const fresh = new Cluster()
    const history = new MemberHistory(0, 10_000)
    expect(fresh.look({ history, nowMs: 100 }).members[1]!.policy.eligibleForMs).toBe(Infinity)
  })
})

describe('snapshot', () => {
  it('holds MAC and interface for mac, the node address for both', () => {
    const [self, b, c] = new Cluster().snapshot().members
    expect([self?.mode, b?.mode, c?.mode]).toEqual(['self', 'mac', 'ipip'])
    expect([b?.ifindex, [...b!.mac]]).toEqual([7, [2, 0, 0, 0, 0, 2]])
    expect([c?.ifindex, [...c!.mac], c?.address]).toEqual([0, [0, 0, 0, 0, 0, 0], 0x0a020003])
  })

  it.each([
    ['alive', undefined, true, 'forward'],
    ['suspect', undefined, false, 'forward'],
    ['dead', 'daemon-only', false, 'forward'],
    ['dead', 'silent', false, 'hold'],
  ] as const)('a member that is %s (%s): eligible %s, existing flows %s', (status, deadReason, eligible, existing) => {
    const cluster = new Cluster()
    cluster.replace(1, { status, ...(deadReason === undefined ? {} : { deadReason }) })
    const member = cluster.snapshot().members[1]!
    expect([member.eligible, member.existing]).toEqual([eligible, existing])
  })

  it('gives a reused index a new generation', () => {
    const cluster = new Cluster()
    const before = cluster.snapshot().members[1]!
    cluster.replace(1, { facts: { ...cluster.members[1]!.facts, id: 'id-new' } })
    const after = cluster.snapshot({}, 2)
    const moved = after.members.find((m) => m?.id === 'id-new')!
    expect(after.members.indexOf(moved)).toBe(1)
    expect(moved.generation).toBeGreaterThan(before.generation)
  })

  it('knows when nothing has changed but version and lease', () => {
    const cluster = new Cluster()
    const first = cluster.snapshot({}, 1)
    expect(sameRouting(first, { ...cluster.snapshot({}, 2), leaseUntilMs: 5 })).toBe(true)
    cluster.replace(1, { status: 'suspect' })
    expect(sameRouting(first, cluster.snapshot({}, 3))).toBe(false)
    const unlimited = { ...first, tables: [{ ...first.tables[0]!, localLimit: Infinity }] }
    expect(sameRouting(first, unlimited)).toBe(false)
  })
})

describe('host plan', () => {
  it('accepts every published address and clamps those whose home is across', () => {
    const cluster = new Cluster()
    cluster.replace(2, { facts: { ...cluster.members[2]!.facts, homes: ['10.1.0.103'] } })
    const plan = hostPlan(cluster.look(), [HOST_ATTACHMENT], 'auto', 'dpr0')
    expect(plan.publishedAddresses).toEqual([P, '10.1.0.103'])
    expect(plan.clamps).toEqual([{ address: '10.1.0.103', mss: 1_440 }])
    expect(plan.interfaces).toEqual([{ name: 'eth0', ifindex: 7, mac: '02:00:00:00:00:01', address: '10.1.0.1' }])
  })
})

describe('peers', () => {
  it('lists self included, with mode, flows and eligibility', () => {
    const cluster = new Cluster()
    cluster.shared.flowsByMember[1] = 4
    cluster.replace(2, { status: 'dead', deadReason: 'silent' })
    const peers = peersJson(cluster.look(), readEngineState(cluster.shared))
    expect(peers.map(({ name, mode, flows, eligible }) => [name, mode, flows, eligible])).toEqual([
      ['h1', 'self', 0, true],
      ['h2', 'mac', 4, true],
      ['h3', 'ipip', 0, false],
    ])
    expect(peers[2]!.deadReason).toBe('silent')
  })
})

describe('a member that left', () => {
  it('is still listed, and gets nothing', () => {
    const cluster = new Cluster()
    cluster.replace(1, { status: 'left' })
    const view = cluster.look()
    expect(peersJson(view, readEngineState(cluster.shared))[1]).toMatchObject({
      status: 'left',
      mode: null,
      eligible: false,
    })
    expect(view.members[1]!.policy.reachable).toBe(false)
    expect(cluster.snapshot().members[1]).toBeUndefined()
  })
})

describe('member index', () => {
  it('keeps an index while the member is there and refuses more than it has', () => {
    const index = new MemberIndex(2)
    expect([index.take('a')?.index, index.take('b')?.index, index.take('c')]).toEqual([0, 1, undefined])
    expect(index.take('a')).toBe(index.take('a'))
    index.keepOnly(new Set(['b']))
    expect(index.take('c')).toEqual({ index: 0, generation: 2 })
    expect(index.take('b')).toEqual({ index: 1, generation: 1 })
  })
})
