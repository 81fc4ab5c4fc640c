/** The situations that operators ask about, one row each: what stays, who receives. */
import { describe, expect, it } from 'vitest'
import { policies } from '../../policy/policies.ts'
import type { PolicyMember, PolicyName, PolicySettings, PolicyView } from '../../policy/types.ts'
import { memberWith, settingsWith, slotsOf, uniformView, viewOf } from './views.ts'

/** Shares of a ring by member index, to the precision of a slot. */
function sharesOf(ring: readonly number[]): Record<number, number> {
  return Object.fromEntries(
    [...slotsOf(ring)].map(([index, slots]) => [index, Math.round((100 * slots) / ring.length)]),
  )
}

const tableOf = (name: PolicyName, view: PolicyView, overrides: Partial<PolicySettings> = {}) =>
  policies[name](view, settingsWith({ name, maglevSlots: 211, ...overrides }), 7)

const refused: Partial<PolicyMember> = { health: 'refused' }
const failing: Partial<PolicyMember> = { health: 'failing' }
const dead: Partial<PolicyMember> = { status: 'dead' }
const left: Partial<PolicyMember> = { status: 'left' }
const suspect: Partial<PolicyMember> = { status: 'suspect' }
const draining: Partial<PolicyMember> = { draining: true }
const unreachable: Partial<PolicyMember> = { reachable: false }
const idle: Partial<PolicyMember> = { load: 0 }
const justSeen: Partial<PolicyMember> = { load: 0, eligibleForMs: 0 }
const silent: Partial<PolicyMember> = { reportAgeMs: 5_000 }
const none = {}

interface Row {
  when: string
  /** Self is the first, with 1,000 flows of capacity; a member that says nothing else is at load 0.2. */
  members: Partial<PolicyMember>[]
  limit: number
  /** Per cent of the redirected flows by member. */
  shares: Record<number, number>
}

/** ceil(0.2·1.05·1,000 + √(0.2·1,000)) */
const LIMIT_AT_0_2 = 225

const rows: Row[] = [
  { when: 'it is alone', members: [none], limit: LIMIT_AT_0_2, shares: { 0: 100 } },
  { when: 'it is alone and idle, minLoad is its limit', members: [idle], limit: 50, shares: { 0: 100 } },
  { when: 'everybody else is dead or gone', members: [none, dead, left], limit: LIMIT_AT_0_2, shares: { 0: 100 } },
  { when: 'nobody has any load', members: [idle, idle, idle], limit: 50, shares: { 0: 100 } },
  // Their mean is 0.35000000000000003: nobody is below it for that.
  {
    when: 'all loads are equal',
    members: Array.from({ length: 6 }, () => ({ load: 0.35 })),
    limit: 387,
    shares: { 0: 100 },
  },
  // A = (0.6 + 0.2 + 0.1 + 0.3) ÷ 4 = 0.3; deficits 0.1 and 0.2; bound 50 %: the rest goes to the other one below.
  {
    when: 'two members are below the average, and one would get more than twice its share',
    members: [{ load: 0.6 }, { load: 0.2 }, { load: 0.1 }, { load: 0.3 }],
    limit: 333,
    shares: { 1: 50, 2: 50 },
  },
  // A = 0.25; deficits 0.05, 0.15 and 0.1, all within the bound of 50 %.
  {
    when: 'three members are below the average',
    members: [{ load: 0.55 }, { load: 0.2 }, { load: 0.1 }, { load: 0.15 }],
    limit: 279,
    shares: { 1: 17, 2: 50, 3: 33 },
  },
  // A = 0.3; one member below: twice its share of a quarter, the rest stays.
  {
    when: 'one member is below the average',
    members: [{ load: 0.35 }, { load: 0.35 }, { load: 0.35 }, { load: 0.15 }],
    limit: 333,
    shares: { 0: 50, 3: 50 },
  },
  // A = (0.2 + 0.2 + 8.6) ÷ 3 = 3: ceil(3·1.05·1,000 + √3,000). Bound 67 % of three; nothing for the third.
  {
    when: 'one load is huge',
    members: [{ load: 0.2 }, { load: 0.2 }, { load: 8.6 }],
    limit: 3_205,
    shares: { 0: 33, 1: 67 },
  },
  // Capacity shares 1/8, 4/8, 3/8. A = (1·0.8 + 4·0.2 + 3·0.4) ÷ 8 = 0.35: only the second is below, and may take all.
  {
    when: 'capacities differ',
    members: [{ load: 0.8 }, { load: 0.2, capacity: 4 }, { load: 0.4, capacity: 3 }],
    limit: 387,
    shares: { 1: 100 },
  },
  // The reports say 0.1 and 0.1; since then 100 flows went to the first: 0.2, at the average of (0.4 + 0.1 + 0.1) ÷ 3.
  {
    when: 'flows sent since the report have filled a member',
    members: [{ load: 0.4 }, { load: 0.1, myFlows: 140, myFlowsAtReport: 40 }, { load: 0.1 }],
    limit: LIMIT_AT_0_2,
    shares: { 0: 33, 2: 67 },
  },
  {
    when: 'no peer has ever reported',
    members: [none, { reportAgeMs: Infinity }, silent],
    limit: LIMIT_AT_0_2,
    shares: { 0: 33, 1: 33, 2: 33 },
  },
  // Half-way from 2 s to 5 s: half a share of one third whatever its load, and no part by load, being above the average.
  {
    when: 'a report is half faded',
    members: [idle, idle, { load: 1.5, reportAgeMs: 3_500 }],
    limit: 333,
    shares: { 0: 17, 1: 67, 2: 17 },
  },
  { when: 'the only peer has just joined', members: [{ load: 0.3 }, justSeen], limit: 170, shares: { 0: 100 } },
  {
    when: 'the only peer is half-way through slow start',
    members: [{ load: 0.3 }, { load: 0, eligibleForMs: 5_000 }],
    limit: 170,
    shares: { 0: 50, 1: 50 },
  },
  {
    when: 'the idle peers are refused, draining, unreachable or suspect',
    members: [
      none,
      { ...idle, ...refused },
      { ...idle, ...draining },
      { ...none, ...unreachable },
      { load: 0.2, ...suspect },
    ],
    limit: LIMIT_AT_0_2,
    shares: { 0: 100 },
  },
  {
    when: 'a third of the view is suspect: avoided',
    members: [{ load: 0.4 }, { load: 0.1, ...suspect }, { load: 0.1 }],
    limit: LIMIT_AT_0_2,
    shares: { 2: 100 },
  },
  {
    when: 'more than a third is suspect: suspicion changes nothing',
    members: [{ load: 0.4 }, { load: 0.1, ...suspect }, { load: 0.1, ...suspect }],
    limit: LIMIT_AT_0_2,
    shares: { 1: 50, 2: 50 },
  },
  {
    when: 'a failing peer is idle and the healthy ones can carry the load',
    members: [none, { ...idle, ...failing }],
    limit: LIMIT_AT_0_2,
    shares: { 0: 100 },
  },
  // Load 1.3 against a healthy capacity of 1: both are in service, A = 0.65.
  {
    when: 'the healthy ones cannot carry the load',
    members: [{ load: 1.2 }, { load: 0.1, ...failing }],
    limit: 708,
    shares: { 1: 100 },
  },
  {
    when: 'the healthy ones cannot carry the load: a refused peer stays out',
    members: [{ load: 1.2 }, { load: 0.1, ...refused }],
    limit: 1_295,
    shares: { 0: 100 },
  },
  {
    when: 'all are failing',
    members: [
      { load: 0.4, ...failing },
      { load: 0, ...failing },
    ],
    limit: LIMIT_AT_0_2,
    shares: { 1: 100 },
  },
  {
    when: 'it drains: by capacity, whatever the loads',
    members: [draining, { load: 3 }, { load: 0, capacity: 3 }],
    limit: 0,
    shares: { 1: 25, 2: 75 },
  },
  { when: 'it drains and the only peer has just joined', members: [draining, justSeen], limit: 0, shares: { 1: 100 } },
  { when: 'its own server is refused', members: [refused, none], limit: 0, shares: { 1: 100 } },
  { when: 'its own server is failing and a peer is healthy', members: [failing, none], limit: 0, shares: { 1: 100 } },
  { when: 'it drains and nobody else is there: empty, so local', members: [draining], limit: 0, shares: {} },
  {
    when: 'it drains and all others are dead or refused: empty, so local',
    members: [draining, dead, refused],
    limit: 0,
    shares: {},
  },
]

describe('above-average, when', () => {
  it.each(rows)('$when', ({ members, limit, shares }) => {
    const table = tableOf('above-average', viewOf(...members))
    expect({ limit: table.localLimit, shares: sharesOf(table.ring) }).toEqual({ limit, shares })
  })

  it('tolerance and z are 0: the average itself, as in the paper', () => {
    const table = tableOf('above-average', viewOf({ load: 0.5 }, { load: 0.25 }), { tolerance: 0, z: 0 })
    expect(table.localLimit).toBe(375)
  })

  it('slow start is off: a member that joined this instant counts in full', () => {
    expect(sharesOf(tableOf('above-average', viewOf(none, justSeen), { slowStartMs: 0 }).ring)).toEqual({ 1: 100 })
  })

  it('there are 300 members, half of them below: no peer above 2/300, nothing left for self', () => {
    const members = Array.from({ length: 300 }, (_, m) => memberWith(m, { load: m % 2 === 0 ? 0.3 : 0.1 }))
    const { ring } = tableOf('above-average', { members })
    expect(ring).toHaveLength(150)
    expect(new Set(ring)).toEqual(new Set(members.filter(({ load }) => load < 0.2).map(({ index }) => index)))
  })
})

describe.each<{ name: PolicyName; members: Partial<PolicyMember>[]; ring: Record<number, number>; limit: number }>([
  { name: 'ring', members: [none, none, { capacity: 2 }], ring: { 0: 25, 1: 25, 2: 50 }, limit: 0 },
  { name: 'ring', members: [draining, none, none], ring: { 1: 50, 2: 50 }, limit: 0 },
  { name: 'ring', members: [none, dead], ring: { 0: 100 }, limit: 0 },
  { name: 'ring', members: [draining, dead], ring: {}, limit: 0 },
  { name: 'router', members: [none, none, { capacity: 3 }], ring: { 1: 25, 2: 75 }, limit: 0 },
  { name: 'router', members: [none, dead], ring: {}, limit: 0 },
  { name: 'hash', members: [none, none, { capacity: 2 }], ring: { 0: 25, 1: 25, 2: 50 }, limit: 0 },
  { name: 'hash', members: [refused, none, none], ring: { 1: 50, 2: 50 }, limit: 0 },
  { name: 'hash', members: [refused, dead], ring: {}, limit: 0 },
  { name: 'local', members: [draining, none], ring: {}, limit: Infinity },
])('$name with $members', ({ name, members, ring, limit }) => {
  it('deals as defined', () => {
    const table = tableOf(name, viewOf(...members))
    expect({ limit: table.localLimit, ring: sharesOf(table.ring) }).toEqual({ limit, ring })
    expect(table.stateless).toBe(name === 'hash')
  })
})

it('hash gives every node of the cluster the same ring, whoever is self and whatever its seed', () => {
  const { members } = uniformView(5)
  const seenFrom = (self: number) => ({ members: members.map((member, m) => ({ ...member, self: m === self })) })
  const settings = settingsWith({ name: 'hash' })
  expect(policies.hash(seenFrom(3), settings, 99)).toEqual(policies.hash(seenFrom(0), settings, 1))
})

it('a view without self is a bug, and says so', () => {
  const view = { members: [memberWith(1)] }
  expect(() => tableOf('ring', view)).toThrow(expect.objectContaining({ code: 'E_POLICY_VIEW' }))
})
