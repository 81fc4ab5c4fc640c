/** One node's links, in virtual time: which counts, how they end, what is sent on them. */
import { beforeEach, describe, expect, test } from 'vitest'
import { PENDING_FRAMES_MAX } from '../../gossip/pending.ts'
import {
  FakeConnection,
  FRAME,
  SELF,
  HIGHER,
  LOWER,
  accept,
  addressOf,
  banned,
  clock,
  close,
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

describe('which link counts', () => {
  test.each([
    { name: 'our dial to a higher id', id: HIGHER, dialFirst: true, kept: 'dialled' },
    { name: 'our dial to a higher id that comes second', id: HIGHER, dialFirst: false, kept: 'dialled' },
    { name: 'the dial of a lower id', id: LOWER, dialFirst: true, kept: 'accepted' },
    { name: 'the dial of a lower id that comes first', id: LOWER, dialFirst: false, kept: 'accepted' },
  ])("of two made at the same time, the lower id's: $name", ({ id, dialFirst, kept }) => {
    meet(id)
    pass(250)
    let accepted = dialFirst ? undefined : accept(id)
    const dialled = succeed(dials[0]!, id)
    accepted ??= accept(id)
    pass(1_000)
    const [stays, goes] = kept === 'dialled' ? [dialled, accepted] : [accepted, dialled]
    expect([stays.ended, goes.ended]).toEqual([undefined, 'surplus connection'])
    links.closed(goes)
    links.send(id, 'probe', FRAME, false)
    expect(stays.sent).toHaveLength(1)
    expect(told.filter((line) => line.startsWith('closed'))).toEqual([])
  })

  test('the surplus one is still read for a while', () => {
    meet(HIGHER)
    pass(0)
    succeed(dials[0]!, HIGHER)
    const surplus = accept(HIGHER)
    expect(links.received(surplus, 10)).toBe(true)
    pass(600)
    expect(links.received(surplus, 10)).toBe(false)
  })

  test('otherwise the newer one: its dialler has lost the older', () => {
    const old = settled()
    const newer = accept(HIGHER)
    links.send(HIGHER, 'probe', FRAME, false)
    pass(600)
    expect([old.ended, newer.ended, newer.sent.length]).toEqual(['surplus connection', undefined, 1])
  })

  test('when the one that counts ends, the surplus one counts again', () => {
    const old = settled()
    const newer = accept(HIGHER)
    close(newer)
    pass(5_000)
    expect(old.ended).toBe(undefined)
    links.send(HIGHER, 'probe', FRAME, false)
    expect(old.sent).toHaveLength(1)
    expect(told).toEqual([`connected ${HIGHER}`, `connected ${HIGHER}`])
  })

  test('a peer holds a few connections, no more', () => {
    settled()
    const accepted = Array.from({ length: 20 }, () => accept(HIGHER))
    expect(accepted.filter(({ ended }) => ended === undefined).length).toBeLessThanOrEqual(4)
    expect(links.gauges).toMatchObject({ links: 1 })
  })

  test('somebody with our own id is a twin, and does not get in', () => {
    const twin = accept(SELF)
    expect(twin.ended).toBe('own identity')
    meet(HIGHER)
    pass(0)
    fail(dials[0]!, 'self')
    expect(told).toEqual([`twin ${twin.address}`, `twin ${addressOf(HIGHER)}`])
  })
})

describe('the end of a link', () => {
  test('is told, and redialled at once if it had lasted', () => {
    const connection = settled()
    close(connection)
    pass(0)
    expect(told.at(-1)).toBe(`closed ${HIGHER}`)
    expect(dials).toHaveLength(2)
    fail(dials[1]!, 'refused')
    expect(told).toContain(`refused ${HIGHER}`)
  })

  test('is redialled with backoff if it had not', () => {
    meet(HIGHER)
    for (let i = 0; i < 100; i++) {
      pass(100)
      const dial = dials.at(-1)!
      if (dial.atMs > clock.now() - 100) close(succeed(dial, HIGHER))
    }
    expect(dials.length).toBeLessThan(15)
  })

  test('is not held against a host that refuses us while its own connection lives', () => {
    meet(HIGHER)
    pass(0)
    accept(HIGHER)
    fail(dials[0]!, 'refused')
    expect(told).toEqual([`connected ${HIGHER}`])
  })

  test('is told of unreachable ones, too', () => {
    meet(HIGHER)
    pass(0)
    pass(config.dialHedgeMs)
    for (const dial of dials) fail(dial, 'unreachable')
    expect(told).toEqual([`unreachable ${HIGHER}`])
  })
})

describe('an idle link', () => {
  test('to no neighbour is closed, quietly', () => {
    const connection = accept(HIGHER)
    links.contacts.noteMember(HIGHER, addressOf(HIGHER), true)
    pass(10_000)
    links.received(connection, 10)
    pass(config.linkIdleMs - 1)
    expect(connection.ended).toBe(undefined)
    pass(1)
    expect([connection.ended, links.counters.idleLinks]).toEqual(['idle', 1])
    links.closed(connection)
    pass(60_000)
    expect([told, dials]).toEqual([[`connected ${HIGHER}`], []])
  })

  test('to a neighbour stays, until it is none any more', () => {
    const connection = settled()
    pass(60_000)
    expect(connection.ended).toBe(undefined)
    links.setNeighbours([])
    pass(0)
    expect(connection.ended).toBe('idle')
  })
})

describe('a message without a link', () => {
  beforeEach(() => links.contacts.noteMember(HIGHER, addressOf(HIGHER), true))

  test('waits for the link that is made because of it', () => {
    links.send(HIGHER, 'probe', FRAME, true)
    links.send(HIGHER, 'bulk', FRAME, false)
    pass(0)
    const connection = succeed(dials[0]!, HIGHER)
    expect(connection.sent.map(({ lane }) => lane)).toEqual(['probe', 'bulk'])
  })

  test('is dropped with the link, if that ends while the one before is sent', () => {
    links.send(HIGHER, 'bulk', FRAME, false)
    links.send(HIGHER, 'probe', FRAME, true)
    pass(0)
    const connection = new FakeConnection(HIGHER, addressOf(HIGHER), 'outbound')
    connection.send = () => {
      close(connection)
      return false
    }
    dials[0]!.isOpen = false
    dials[0]!.done({ ok: true, connection })
    expect([links.counters.framesDropped, told]).toEqual([2, [`closed ${HIGHER}`]])
    // Nothing of it is due again and again.
    pass(60_000)
  })

  test('does not wait long', () => {
    links.send(HIGHER, 'probe', FRAME, true)
    pass(config.pendingMs)
    expect(links.counters.framesDropped).toBe(1)
    const connection = succeed(dials[0]!, HIGHER)
    expect(connection.sent).toEqual([])
    pass(60_000)
    expect(connection.ended, 'nobody wanted it').toBe('idle')
  })

  test('is dropped when the dial fails, when there are too many, or when nobody knows where to', () => {
    for (let i = 0; i < PENDING_FRAMES_MAX + 3; i++) links.send(HIGHER, 'probe', FRAME, false)
    expect(links.counters.framesDropped).toBe(3)
    pass(0)
    fail(dials[0]!, 'refused')
    expect(links.counters.framesDropped).toBe(PENDING_FRAMES_MAX + 3)
    links.send('unknown', 'probe', FRAME, false)
    expect(links.counters.framesDropped).toBe(PENDING_FRAMES_MAX + 4)
  })
})

describe('a peer that sends too much', () => {
  test('is not read beyond its rate', () => {
    const connection = settled()
    const taken = Array.from({ length: 3 * config.peerFramesPerSecondMax }, () => links.received(connection, 10))
    expect(taken.filter(Boolean)).toHaveLength(2 * config.peerFramesPerSecondMax)
    expect(links.counters.framesLimited).toBe(config.peerFramesPerSecondMax)
    pass(1_000)
    expect(links.received(connection, 10)).toBe(true)
  })

  test('is not read beyond its bytes', () => {
    const connection = settled()
    const taken = Array.from({ length: 200 }, () => links.received(connection, 131_071))
    expect(taken.filter(Boolean).length).toBeLessThan(40)
  })

  test('is shut out for a while if it is far too much, and said so', () => {
    const connection = settled()
    for (let i = 0; i < 30 * config.peerFramesPerSecondMax; i++) links.received(connection, 10)
    expect(connection.ended).toBe('flood')
    expect(told.filter((line) => line.startsWith('stranger'))).toEqual(['stranger 10.0.0.122: it sends far too much'])
    expect(accept(HIGHER).ended).toBe('shut out')
    pass(11_000)
    expect(accept(HIGHER).ended).toBe(undefined)
  })
})

test('who is not admitted gets no link; who is not any more loses it', () => {
  const connection = settled()
  banned.add(HIGHER).add(LOWER)
  expect(accept(LOWER).ended).toBe('not on the allow-list')
  expect(connection.ended).toBe(undefined)
  links.expel()
  expect(connection.ended).toBe('not on the allow-list')
  expect(told).toContain(`stranger 10.0.0.97: ${LOWER} is not on the allow-list`)
})

test('a link that is to be renewed is replaced without a gap, or ended in time', () => {
  const old = settled()
  links.renew(old, 2_000)
  pass(0)
  expect([dials.length, old.ended]).toEqual([2, undefined])
  succeed(dials[1]!, HIGHER)
  pass(600)
  expect(old.ended).toBe('surplus connection')
  links.send(HIGHER, 'probe', FRAME, false)
  const lone = accept('nobody knows its address')
  links.renew(lone, 2_000)
  pass(2_000)
  expect(lone.ended, 'young: it has two seconds more').toBe(undefined)
  pass(2_001)
  expect(lone.ended).toBe('to be renewed')
  expect(told.filter((line) => line.startsWith('closed'))).toEqual(['closed nobody knows its address'])
})

test('stops: every connection ends, late dials too, and nothing is told any more', () => {
  const connection = settled()
  meet(HIGHER, 'y')
  pass(0)
  told.length = 0
  links.stop()
  const late = succeed(dials.at(-1)!, 'y')
  links.closed(connection)
  expect([connection.ended, late.ended, links.dueMs, told]).toEqual(['stopping', 'stopped', Infinity, []])
})
