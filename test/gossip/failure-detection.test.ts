/** The pure parts of failure detection: suspicion's arithmetic, local health, the order of probes, self-doubt. */
import { describe, expect, test } from 'vitest'
import { Awareness } from '../../gossip/awareness.ts'
import { Errands, ProbeOrder, Probes } from '../../gossip/probe.ts'
import type { Probe } from '../../gossip/probe.ts'
import { SelfDoubt } from '../../gossip/self-doubt.ts'
import { accusersRequired, suspicionTimeoutMs } from '../../gossip/suspicion.ts'
import { seededRandom } from './fixtures.ts'

describe('suspicion timeout', () => {
  test.each([
    { name: 'nobody else could confirm: the minimum', confirmations: 0, wanted: 0, ms: 1200 },
    { name: 'a lone accuser waits longest', confirmations: 0, wanted: 1, ms: 4800 },
    { name: 'all wanted confirmations: the minimum', confirmations: 1, wanted: 1, ms: 1200 },
    { name: 'more than wanted: not below the minimum', confirmations: 9, wanted: 1, ms: 1200 },
    { name: 'one of three confirmations halves the surplus', confirmations: 1, wanted: 3, ms: 3000 },
    { name: 'two of three', confirmations: 2, wanted: 3, ms: 4800 - 3600 * (Math.log(3) / Math.log(4)) },
    { name: 'a withdrawn accuser is no negative time', confirmations: -1, wanted: 1, ms: 4800 },
  ])('$name', ({ confirmations, wanted, ms }) => {
    expect(suspicionTimeoutMs(confirmations, wanted, 1200, 4800)).toBeCloseTo(ms, 6)
  })

  test.each([
    { wanted: 2, eligible: 0, required: 1 },
    { wanted: 2, eligible: 1, required: 1 },
    { wanted: 2, eligible: 2, required: 2 },
    { wanted: 2, eligible: 63, required: 2 },
  ])('of $eligible who could accuse, $required must', ({ wanted, eligible, required }) => {
    expect(accusersRequired(wanted, eligible)).toBe(required)
  })
})

describe('awareness', () => {
  const success = (a: Awareness): void => a.probeSucceeded()
  const alone = (a: Awareness): void => a.probeFailed(3)
  const helped = (a: Awareness): void => a.probeFailed(0)
  const refuted = (a: Awareness): void => a.hadToRefute()
  test.each([
    { name: 'starts healthy', acts: [], score: 0 },
    { name: 'is never better than healthy', acts: [success, success], score: 0 },
    { name: 'a failure that helpers confirm is the target’s', acts: [helped, helped], score: 0 },
    { name: 'silent helpers are a bad sign', acts: [alone], score: 3 },
    { name: 'is bounded', acts: [alone, alone, alone], score: 4 },
    { name: 'having to refute is a bad sign', acts: [refuted], score: 1 },
    { name: 'having stood still is the worst', acts: [(a: Awareness): void => a.stalled()], score: 4 },
    { name: 'successes heal', acts: [alone, success, success], score: 1 },
  ])('$name', ({ acts, score }) => {
    const awareness = new Awareness(4)
    for (const act of acts) act(awareness)
    expect(awareness.score).toBe(score)
    expect(awareness.scale(100)).toBe(100 * (score + 1))
  })
})

describe('probe order', () => {
  const all = (): boolean => true
  const nobody = (): boolean => false

  test('takes everybody once in each round', () => {
    const order = new ProbeOrder(seededRandom(1))
    const candidates = ['a', 'b', 'c', 'd']
    for (let round = 0; round < 20; round++) {
      const taken = candidates.map(() => order.next(candidates, all, nobody))
      expect(new Set(taken)).toEqual(new Set(candidates))
    }
  })

  test('a newcomer comes up within the current round, the gone do not', () => {
    const order = new ProbeOrder(seededRandom(2))
    order.next(['a', 'b', 'c'], all, nobody)
    const changed = ['a', 'b', 'new']
    const taken = [1, 2, 3].map(() => order.next(changed, all, nobody))
    expect(taken).toContain('new')
    expect(taken).not.toContain('c')
  })

  test('passes over the fresh, but not if all are', () => {
    const order = new ProbeOrder(seededRandom(3))
    const candidates = ['a', 'b', 'c']
    for (let i = 0; i < 10; i++) expect(order.next(candidates, all, (id) => id !== 'b')).toBe('b')
    expect(order.next(candidates, all, all)).toBeDefined()
    expect(order.next([], all, nobody)).toBeUndefined()
  })

  test('leaves out who is not ready, however stale', () => {
    const order = new ProbeOrder(seededRandom(4))
    const candidates = ['a', 'b']
    for (let i = 0; i < 10; i++) expect(order.next(candidates, (id) => id === 'a', all)).toBe('a')
    expect(order.next(candidates, nobody, nobody)).toBeUndefined()
  })
})

describe('a probe', () => {
  const times = { timeoutAtMs: 100, deadlineAtMs: 260, askAgainAtMs: 360, finalAtMs: 760 }
  const no = { repeated: false, greeting: false }

  function started(changes: Partial<Probe> = {}): { probes: Probes; probe: Probe } {
    const probes = new Probes()
    const sets = { helpers: new Set<string>(), pending: new Set<string>(), blaming: new Set<string>() }
    const probe: Probe = { seq: 1, target: 'x', ...times, asked: 0, ...sets, nacks: 0, nacksWanted: 2, ...no }
    Object.assign(probe, changes)
    probes.start(probe)
    return { probes, probe }
  }

  /** Runs to its timeout, when these are asked. */
  function helped(helpers: readonly string[], changes: Partial<Probe> = {}): { probes: Probes; probe: Probe } {
    const begun = started(changes)
    expect(begun.probes.due(99).wantHelpers).toHaveLength(0)
    expect(begun.probes.due(100).wantHelpers).toEqual([begun.probe])
    for (const set of ['helpers', 'pending', 'blaming'] as const) {
      for (const helper of helpers) begun.probe[set].add(helper)
    }
    return begun
  }

  const NOTHING = { wantHelpers: [], repeats: [], failed: [] }

  test('that nobody answers fails at the end of all patience, after asking the target again and twice for help', () => {
    const { probes, probe } = helped(['y', 'z'])
    expect(probes.nextDueMs()).toBe(260)
    expect(probes.due(259)).toEqual(NOTHING)
    expect(probes.due(260)).toEqual({ ...NOTHING, repeats: [probe] })
    expect(probes.nextDueMs()).toBe(360)
    expect(probes.due(359)).toEqual(NOTHING)
    expect(probes.due(360).wantHelpers).toHaveLength(1)
    expect(probes.nextDueMs()).toBe(760)
    expect(probes.due(759)).toEqual(NOTHING)
    expect(probes.due(760).failed).toHaveLength(1)
    expect(probes.isProbing('x')).toBe(false)
  })

  test.each([
    {
      name: 'all say nack before the deadline: at the deadline',
      nacks: ['y', 'z'],
      asksAtMs: undefined,
      failsAtMs: 260,
    },
    { name: 'one owes its answer: others are asked, and it fails last', nacks: ['y'], asksAtMs: 360, failsAtMs: 760 },
    { name: 'none answers', nacks: [], asksAtMs: 360, failsAtMs: 760 },
  ])('of two helpers $name', ({ nacks, asksAtMs, failsAtMs }) => {
    const { probes } = helped(['y', 'z'])
    for (const helper of nacks) probes.nack(1, helper)
    let asked: number | undefined
    let failed: number | undefined
    for (let nowMs = 101; failed === undefined; nowMs++) {
      const due = probes.due(nowMs)
      if (due.wantHelpers.length > 0) asked = nowMs
      if (due.failed.length > 0) failed = nowMs
    }
    expect([asked, failed]).toEqual([asksAtMs, failsAtMs])
  })

  test('with fewer helpers than wanted asks for more at its deadline, and fails with the last nack', () => {
    const { probes, probe } = helped(['y'])
    probes.nack(1, 'y')
    expect(probes.nextDueMs()).toBe(260)
    expect(probes.due(260).wantHelpers).toEqual([probe])
    probe.helpers.add('z')
    probe.pending.add('z')
    expect(probes.due(500).failed).toEqual([])
    probes.nack(1, 'z')
    expect(probes.due(500).failed).toEqual([probe])
  })

  test('counts each helper once, and only those that were asked', () => {
    const { probes, probe } = helped(['y', 'z'])
    for (const helper of ['y', 'y', 'stranger']) probes.nack(1, helper)
    expect(probe.nacks).toBe(1)
    expect([...probe.pending]).toEqual(['z'])
  })

  test('of a greeting asks nobody and fails at its deadline', () => {
    const { probes, probe } = started({ greeting: true })
    expect(probes.nextDueMs()).toBe(260)
    expect(probes.due(259)).toEqual(NOTHING)
    expect(probes.due(260)).toEqual({ ...NOTHING, failed: [probe] })
  })

  test.each([
    { name: 'its target answers', from: 'x', relayed: false, asked: false, ends: true },
    { name: 'somebody else answers', from: 'y', relayed: false, asked: false, ends: false },
    { name: 'a helper answers that was asked', from: 'y', relayed: true, asked: true, ends: true },
    { name: 'somebody relays who was not asked', from: 'w', relayed: true, asked: true, ends: false },
    { name: 'a helper answers before any was asked', from: 'y', relayed: true, asked: false, ends: false },
  ])('$name: ends $ends', ({ from, relayed, asked, ends }) => {
    const { probes } = asked ? helped(['y']) : started()
    expect(probes.answered(1, from, relayed) !== undefined).toBe(ends)
  })

  test('a helper that could not be reached owes no nack; a target that could not be, gets helpers at once', () => {
    const { probes, probe } = helped(['y', 'z'])
    probes.unreachable('y', 110)
    expect([[...probe.pending], [...probe.blaming], probe.nacks]).toEqual([['z'], ['z'], 0])
    const { probes: others } = started()
    others.unreachable('x', 30)
    expect(others.nextDueMs()).toBe(30)
    expect(others.due(30).wantHelpers).toHaveLength(1)
  })

  test('gets what we were late as a bonus', () => {
    const { probes } = started()
    probes.shift(70)
    expect(probes.due(169).wantHelpers).toHaveLength(0)
    expect(probes.due(170).wantHelpers).toHaveLength(1)
    expect(probes.due(829).failed).toHaveLength(0)
    expect(probes.due(830).failed).toHaveLength(1)
  })

  test('for another ends in an answer of its target, or at its deadline', () => {
    const errands = new Errands()
    errands.start(7, { requester: 'r', requesterSeq: 70, target: 'x', deadlineAtMs: 80 })
    errands.start(8, { requester: 'r', requesterSeq: 71, target: 'x', deadlineAtMs: 80 })
    expect(errands.answered(7, 'y')).toBeUndefined()
    expect(errands.answered(7, 'x')?.requesterSeq).toBe(70)
    expect(errands.expired(79)).toHaveLength(0)
    expect(errands.expired(80).map((errand) => errand.requesterSeq)).toEqual([71])
    expect(errands.nextDueMs()).toBe(Infinity)
    errands.start(9, { requester: 'r', requesterSeq: 72, target: 'x', deadlineAtMs: 80 })
    expect(errands.expired(10, 'y')).toHaveLength(0)
    expect(errands.expired(10, 'x')).toHaveLength(1)
  })
})

describe('self-doubt', () => {
  const config = { lateToleranceMs: 50, suspicionMinMs: 1200, unsureMs: 2000 }
  test.each([
    { name: 'on time', atMs: 1000, lateMs: 0, stalled: false },
    { name: 'within the tolerance', atMs: 1050, lateMs: 0, stalled: false },
    { name: 'late', atMs: 1300, lateMs: 300, stalled: false },
    { name: 'late by half the minimum suspicion', atMs: 1600, lateMs: 600, stalled: false },
    { name: 'stalled', atMs: 1601, lateMs: 601, stalled: true },
  ])('$name', ({ atMs, lateMs, stalled }) => {
    const doubt = new SelfDoubt(config)
    doubt.appoint(1000)
    expect(doubt.observe(atMs)).toEqual({ lateMs, stalled })
    expect(doubt.observe(atMs)).toEqual({ lateMs: 0, stalled: false })
    expect(doubt.isUnsure(atMs)).toBe(stalled)
    expect(doubt.isUnsure(atMs + 2000)).toBe(false)
    doubt.exchangeSucceeded()
    expect(doubt.isUnsure(atMs)).toBe(false)
  })

  test('an identity that is used twice makes no witness, however well exchanges go', () => {
    const doubt = new SelfDoubt(config)
    expect(doubt.isWitness(0)).toBe(true)
    doubt.rivalled(0)
    doubt.exchangeSucceeded()
    expect([doubt.isUnsure(0), doubt.isWitness(59_999), doubt.isWitness(60_000)]).toEqual([false, false, true])
  })
})
