/** One node's links, in virtual time: what becomes of a link that owes an answer. */
import { beforeEach, describe, expect, test } from 'vitest'
import {
  FRAME,
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
  settled,
  succeed,
  told,
} from './links-fixture.ts'

beforeEach(makeLinks)

describe('a silent link', () => {
  test('is kept until its replacement is there', () => {
    const old = settled()
    links.send(HIGHER, 'probe', FRAME, true)
    pass(config.silentStreamMs - 1)
    expect(dials).toHaveLength(1)
    pass(1)
    expect(dials, 'a replacement').toHaveLength(2)
    links.send(HIGHER, 'probe', FRAME, true)
    expect([old.sent.length, old.ended]).toEqual([2, undefined])
    const newer = succeed(dials[1]!, HIGHER)
    pass(0)
    links.send(HIGHER, 'probe', FRAME, false)
    expect([old.ended, newer.sent.length]).toEqual(['surplus connection', 1])
    expect(told).toEqual([`connected ${HIGHER}`, `connected ${HIGHER}`])
    expect(links.counters.silentLinks).toBe(1)
  })

  test('is forgiven when it speaks again', () => {
    const old = settled()
    links.send(HIGHER, 'probe', FRAME, true)
    pass(config.silentStreamMs)
    links.received(old, 10)
    fail(dials[1]!, 'unreachable')
    pass(20_000)
    expect(old.ended).toBe(undefined)
    expect(dials).toHaveLength(2)
    expect(told).toEqual([`connected ${HIGHER}`])
  })

  test('is given up when no replacement comes', () => {
    const old = settled()
    links.send(HIGHER, 'probe', FRAME, true)
    pass(3 * config.silentStreamMs)
    expect(old.ended).toBe('no answer')
    expect(told.at(-1)).toBe(`closed ${HIGHER}`)
  })

  test('owes nothing for a message without an answer, nor for our own stall', () => {
    const old = settled()
    links.send(HIGHER, 'probe', FRAME, false)
    pass(10_000)
    links.send(HIGHER, 'probe', FRAME, true)
    clock.pass(5_000)
    links.forgive(5_000)
    links.sweep(clock.now())
    expect([old.ended, dials.length]).toEqual([undefined, 1])
  })

  test('that is young is replaced when it is old enough: earlier the replacement could lose against it', () => {
    meet(LOWER)
    const young = accept(LOWER)
    links.send(LOWER, 'probe', FRAME, true)
    pass(2_000)
    expect(dials).toEqual([])
    pass(1)
    expect([young.ended, addresses()]).toEqual([undefined, [addressOf(LOWER)]])
    succeed(dials[0]!, LOWER)
    pass(0)
    expect(young.ended).toBe('surplus connection')
  })

  test('of a peer that is merely slow is replaced less and less often', () => {
    settled()
    const before = clock.now()
    while (clock.now() < before + 60_000) {
      links.send(HIGHER, 'probe', FRAME, true)
      pass(100)
      for (const dial of dials.filter(({ isOpen }) => isOpen)) succeed(dial, HIGHER)
    }
    expect(dials.length).toBeLessThan(12)
    expect(links.counters.silentLinks).toBeGreaterThan(5)
  })
})
