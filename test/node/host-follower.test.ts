/** The host follows the cluster: what it is told, when, and what becomes of a host that cannot. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { HostPlan } from '../../datapath/host/plan.ts'
import { HostFollower } from '../../node/host-follower.ts'
import { createLogger } from '../../node/log.ts'
import { Warnings } from '../../node/warnings.ts'
import { memberOf } from './members.ts'

const planOf = (...publishedAddresses: string[]): HostPlan => ({
  device: 'dpr0',
  interfaces: [],
  publishedAddresses,
  clamps: [],
})

const warnings = new Warnings()
let plan: HostPlan
let version: number
let failure: Error | undefined
let told: string[]
let follower: HostFollower

beforeEach(() => {
  vi.useFakeTimers()
  warnings.clear('host')
  warnings.clear('fallback')
  ;[plan, version, failure, told] = [planOf('10.1.0.101'), 1, undefined, []]
  const tell = (what: string, addresses: Iterable<string>): void => {
    if (failure !== undefined) throw failure
    told.push(`${what}: ${[...addresses].join(' ')}`)
  }
  const members = [memberOf('a1', {}, { self: true }), memberOf('b2'), memberOf('c3', {}, { status: 'left' })]
  follower = new HostFollower({
    host: { update: async ({ publishedAddresses }) => tell('host', publishedAddresses) },
    control: { plan: () => plan, setAccepted: (addresses) => tell('accepts', addresses) },
    membership: { members: () => members, version: () => version },
    decap: {
      attach: () => undefined,
      setMembers: (addresses) => tell('members', addresses),
      setPublished: (addresses) => tell('published', addresses),
    },
    plan,
    log: createLogger({ level: 'silent', format: 'json' }),
    warnings,
  })
})
afterEach(() => void vi.useRealTimers())

/** Follows, and waits for the host. */
async function follow(): Promise<string[]> {
  told = []
  follower.follow()
  await vi.advanceTimersByTimeAsync(0)
  return told
}

const STAND_IN = ['members: 10.1.0.2', 'published: 10.1.0.101']

test('the stand-in knows all others that have not left, and hears of nothing twice', async () => {
  expect(await follow()).toEqual(STAND_IN)
  expect(await follow()).toEqual([])
  version = 2
  expect(await follow()).toEqual(STAND_IN)
})

test('a new plan reaches the host before anything is accepted; one that says the same does not', async () => {
  await follow()
  plan = planOf('10.1.0.101')
  expect(await follow()).toEqual(STAND_IN)
  plan = planOf('10.1.0.102')
  expect((await follow()).slice(2)).toEqual(['host: 10.1.0.102', 'accepts: 10.1.0.102'])
})

test('a host that cannot follow is warned of, and tried again after a second', async () => {
  await follow()
  plan = planOf('10.1.0.102')
  failure = new Error('no such device')
  expect(await follow()).toEqual([])
  expect(warnings.texts).toHaveLength(2)
  failure = undefined
  expect(await follow(), 'too early').toEqual([])
  await vi.advanceTimersByTimeAsync(1_000)
  expect((await follow()).map((line) => line.split(':')[0])).toEqual(['members', 'published', 'host', 'accepts'])
  expect(warnings.texts).toEqual([])
})

test('once stopped, it changes nothing more', async () => {
  await follow()
  await follower.stop()
  plan = planOf('10.1.0.102')
  expect((await follow()).filter((line) => line.startsWith('host'))).toEqual([])
})

test('a warning is news once, and again when its text is another one', () => {
  const some = new Warnings()
  expect([some.raise('host', 'a'), some.raise('host', 'a'), some.raise('host', 'b')]).toEqual([true, false, true])
  some.clear('host')
  expect(some.raise('host', 'b')).toBe(true)
})
