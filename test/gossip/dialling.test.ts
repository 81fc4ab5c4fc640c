/** One node's links, in virtual time: who is dialled, when, and how many at a time. */
import { beforeEach, describe, expect, test } from 'vitest'
import {
  HIGHER,
  LOWER,
  accept,
  addressOf,
  addresses,
  clock,
  config,
  dials,
  fail,
  links,
  makeLinks,
  meet,
  pass,
  succeed,
  told,
} from './links-fixture.ts'

beforeEach(makeLinks)

describe('who is dialled', () => {
  test('of two that hear of each other, the lower id dials at once, the higher after a patience', () => {
    meet(HIGHER, LOWER)
    pass(0)
    expect(addresses()).toEqual([addressOf(HIGHER)])
    pass(300)
    expect(addresses()).toContain(addressOf(LOWER))
    expect(dials[1]!.atMs).toBeGreaterThanOrEqual(2 * config.redialMinMs)
  })

  test('nobody that is linked, and no living member that is no neighbour', () => {
    accept(LOWER)
    links.contacts.noteMember(LOWER, addressOf(LOWER), true)
    links.contacts.noteMember(HIGHER, addressOf(HIGHER), true)
    links.setNeighbours([LOWER])
    pass(60_000)
    expect(dials).toEqual([])
  })

  test('a seed for ever, until it is the address of a living member', () => {
    links.contacts.noteAddress(addressOf(HIGHER), 'seed')
    for (let i = 0; i < 20; i++) {
      pass(5_000)
      const dial = dials.at(-1)!
      if (i < 19) fail(dial, 'unreachable')
    }
    expect(dials.length).toBeGreaterThan(19)
    links.contacts.noteMember(HIGHER, addressOf(HIGHER), true)
    fail(dials.at(-1)!, 'unreachable')
    const before = dials.length
    pass(60_000)
    expect(dials).toHaveLength(before)
    links.contacts.noteMember(HIGHER, addressOf(HIGHER), false)
    pass(0)
    expect(dials).toHaveLength(before + 1)
  })

  test('the dead at a bounded rate, in turn, whatever their number', () => {
    const many = Array.from({ length: 500 }, (_, i) => `dead-${i}`)
    for (const [i, id] of many.entries()) links.contacts.noteMember(id, `10.9.${i >> 8}.${i & 255}:7600`, false)
    for (let i = 0; i < 600; i++) {
      pass(100)
      for (const dial of dials.filter(({ atMs }) => atMs > clock.now() - 100)) fail(dial, 'unreachable')
    }
    expect(dials.length).toBeLessThanOrEqual(60 * config.redialsPerSecondMax + 2 * config.redialsPerSecondMax + 1)
    expect(new Set(addresses()).size, 'nobody is left out').toBe(500)
    expect(links.counters.dialsHedged, 'once each at most: the first dial').toBeLessThanOrEqual(500)
  })

  test('a neighbour is not kept waiting by the dead', () => {
    for (let i = 0; i < 500; i++) links.contacts.noteMember(`dead-${i}`, `10.9.${i >> 8}.${i & 255}:7600`, false)
    pass(0)
    meet(HIGHER)
    pass(0)
    expect(addresses()).toContain(addressOf(HIGHER))
  })

  test('a few at first, more with every success, the others as soon as there is room', () => {
    const ids = Array.from({ length: 100 }, (_, i) => `n${i}`)
    for (const [i, id] of ids.entries()) links.contacts.noteMember(id, `10.8.0.${i}:7600`, true)
    links.setNeighbours(ids)
    pass(0)
    expect(dials).toHaveLength(8)
    const answer = (): void => {
      const open = dials.filter(({ isOpen }) => isOpen)
      for (const dial of open) succeed(dial, ids[Number(dial.address.split(/[.:]/)[3])]!)
      pass(0)
    }
    answer()
    expect(dials).toHaveLength(8 + 16)
    answer()
    expect(dials).toHaveLength(8 + 16 + 32)
    answer()
    expect(dials).toHaveLength(100)
  })

  test('half as many at a time when this process is late, but not for those that wait for the network', () => {
    const ids = Array.from({ length: 60 }, (_, i) => `n${i}`)
    for (const [i, id] of ids.entries()) links.contacts.noteMember(id, `10.8.0.${i}:7600`, true)
    links.forgive(200)
    links.forgive(200)
    links.setNeighbours(ids)
    pass(0)
    expect(dials).toHaveLength(4)
    pass(config.dialHedgeMs)
    const first = dials.filter(({ atMs }) => atMs === 0)
    const counts = new Map<string, number>()
    for (const { address } of dials) counts.set(address, (counts.get(address) ?? 0) + 1)
    expect([first.length, counts.size], 'four more addresses').toEqual([4, 8])
  })

  test('no more at a time while they are answered and not done: all take the time of this process', () => {
    const ids = Array.from({ length: 60 }, (_, i) => `n${i}`)
    for (const [i, id] of ids.entries()) links.contacts.noteMember(id, `10.8.0.${i}:7600`, true)
    links.setNeighbours(ids)
    pass(0)
    for (const dial of dials) dial.progress('answered')
    pass(config.handshakeTimeoutMs)
    expect(dials).toHaveLength(8)
    succeed(dials[0]!, ids[0]!)
    pass(0)
    expect(dials).toHaveLength(10)
  })

  test('of two that hear of each other the higher id waits for longer where dials take longer', () => {
    meet(HIGHER)
    pass(0)
    dials[0]!.progress('accepted')
    pass(2_000)
    succeed(dials[0]!, HIGHER)
    meet(HIGHER, LOWER)
    pass(1_400)
    expect(addresses(), 'three times a quarter of the two seconds').not.toContain(addressOf(LOWER))
    pass(200)
    expect(addresses()).toContain(addressOf(LOWER))
  })

  test('a slow dial gets a second one beside it; the first to succeed counts, the other goes', () => {
    meet(HIGHER)
    pass(config.dialHedgeMs - 1)
    expect(dials).toHaveLength(1)
    pass(1)
    expect(addresses()).toEqual([addressOf(HIGHER), addressOf(HIGHER)])
    const second = succeed(dials[1]!, HIGHER)
    expect(told).toEqual([`connected ${HIGHER}`])
    const first = succeed(dials[0]!, HIGHER)
    expect([first.ended, second.ended]).toEqual(['hedged', undefined])
    pass(60_000)
    expect(dials, 'and never a third').toHaveLength(2)
  })

  test('nobody is dialled twice where a kernel has accepted: no SYN was lost', () => {
    meet(HIGHER)
    pass(0)
    dials[0]!.progress('accepted')
    pass(config.handshakeTimeoutMs)
    expect(dials).toHaveLength(1)
  })

  test('silence of one of two dials is no failure while the other is under way; a reset is', () => {
    meet(HIGHER)
    pass(config.dialHedgeMs)
    fail(dials[0]!, 'unreachable')
    expect(told).toEqual([])
    fail(dials[1]!, 'refused')
    expect(told).toEqual([`refused ${HIGHER}`, `unreachable ${HIGHER}`])
    pass(config.redialMinMs * 1.2)
    expect(dials).toHaveLength(3)
  })

  test('second dials are limited: where all dials are slow they are no remedy', () => {
    const ids = Array.from({ length: 60 }, (_, i) => `n${i}`)
    for (const [i, id] of ids.entries()) links.contacts.noteMember(id, `10.8.0.${i}:7600`, true)
    links.setNeighbours(ids.slice(0, 24))
    for (let round = 0; round < 2; round++) {
      pass(0)
      for (const dial of dials.filter(({ isOpen }) => isOpen)) {
        succeed(dial, ids[Number(dial.address.split(/[.:]/)[3])]!)
      }
    }
    links.setNeighbours(ids)
    pass(0)
    expect(dials).toHaveLength(24 + 32)
    pass(config.dialHedgeMs)
    expect(links.counters.dialsHedged).toBe(config.hedgesPerSecondMax)
  })

  test('an address where somebody else is met is not dialled without pause', () => {
    meet(HIGHER)
    for (let i = 0; i < 100; i++) {
      pass(100)
      const dial = dials.at(-1)!
      if (dial.atMs > clock.now() - 100) succeed(dial, 'somebody else')
    }
    expect(dials.length).toBeLessThan(15)
  })

  test.each(['denied', 'self'] as const)('a handshake that ends with "%s" is not repeated soon', (failure) => {
    links.contacts.noteAddress(addressOf(HIGHER), 'seed')
    for (let i = 0; i < 600; i++) {
      pass(100)
      const dial = dials.at(-1)!
      if (dial.atMs > clock.now() - 100) fail(dial, failure)
    }
    expect(dials).toHaveLength(3)
  })

  test('a found address that proves useless is dropped', () => {
    links.contacts.noteAddress('10.0.0.7:1', 'found')
    for (let i = 0; i < 60; i++) {
      pass(2_500)
      const dial = dials.at(-1)!
      if (dial.atMs > clock.now() - 2_500) fail(dial, 'refused')
    }
    expect(dials.length, 'the first was hedged').toBe(9)
    expect(links.gauges.addresses).toBe(0)
  })
})
