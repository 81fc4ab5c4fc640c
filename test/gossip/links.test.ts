/** One node's links, in virtual time, with a network whose every dial and frame the test decides. */
import { beforeEach, describe, expect, test } from 'vitest'
import { lanConfig } from '../../gossip/config.ts'
import { Links } from '../../gossip/links.ts'
import type { DialFailure, DialOutcome, Lane, Network, PeerConnection } from '../../gossip/network.ts'
import { PENDING_FRAMES_MAX } from '../../gossip/pending.ts'
import { VirtualClock } from './virtual-clock.ts'

const SELF = 'm'
/** Ids below and above our own: who may dial first depends on that. */
const LOWER = 'a'
const HIGHER = 'z'
const FRAME = new Uint8Array(100)

interface Dial {
  address: string
  atMs: number
  /** Without an outcome. */
  isOpen: boolean
  done: (outcome: DialOutcome) => void
}

class FakeConnection implements PeerConnection {
  readonly peer: string
  readonly address: string
  readonly direction: 'inbound' | 'outbound'
  readonly sent: { lane: Lane; frame: Uint8Array }[] = []
  /** Why we ended it. */
  ended: string | undefined

  constructor(peer: string, address: string, direction: 'inbound' | 'outbound') {
    this.peer = peer
    this.address = address
    this.direction = direction
  }

  send(lane: Lane, frame: Uint8Array): boolean {
    this.sent.push({ lane, frame })
    return true
  }

  abort(reason: string): void {
    this.ended ??= reason
  }
}

let clock: VirtualClock
let dials: Dial[]
let told: string[]
let links: Links
let banned: Set<string>
const config = lanConfig()

beforeEach(() => {
  clock = new VirtualClock()
  dials = []
  told = []
  banned = new Set()
  const network: Network = {
    id: SELF,
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
    dial: (address, _timeoutMs, done) => void dials.push({ address, done, atMs: clock.now(), isOpen: true }),
  }
  const tell =
    (what: string) =>
    (id: string): void =>
      void told.push(`${what} ${id}`)
  links = new Links({
    network,
    config,
    now: () => clock.now(),
    random: () => 0.5,
    admits: (id) => !banned.has(id),
    events: {
      connected: tell('connected'),
      closed: tell('closed'),
      refused: tell('refused'),
      unreachable: tell('unreachable'),
      stranger: (address, reason) => void told.push(`stranger ${address}: ${reason}`),
      twin: tell('twin'),
    },
  })
})

/** Lets time pass, and the links act when they say they are due: never more often than that. */
function pass(ms: number): void {
  const untilMs = clock.now() + ms
  for (let turns = 0; links.dueMs <= untilMs; turns++) {
    if (turns > 10_000) throw new Error('due again and again')
    clock.pass(Math.max(0, links.dueMs - clock.now()))
    links.sweep(clock.now())
  }
  clock.pass(untilMs - clock.now())
}

const addressOf = (id: string): string => `10.0.0.${id.charCodeAt(0)}:7600`

function meet(...ids: string[]): void {
  for (const id of ids) links.contacts.noteMember(id, addressOf(id), true)
  links.setNeighbours(ids)
}

function succeed(dial: Dial, peer: string): FakeConnection {
  const connection = new FakeConnection(peer, dial.address, 'outbound')
  dial.isOpen = false
  dial.done({ ok: true, connection })
  return connection
}

function fail(dial: Dial, failure: DialFailure): void {
  dial.isOpen = false
  dial.done({ ok: false, failure })
}

function accept(peer: string): FakeConnection {
  const connection = new FakeConnection(peer, `${addressOf(peer).split(':')[0]}:40000`, 'inbound')
  links.opened(connection)
  return connection
}

function close(connection: FakeConnection): void {
  connection.ended = 'by the peer'
  links.closed(connection)
}

/** A dialled link to a higher id, older than any question of who dialled first. */
function settled(id = HIGHER): FakeConnection {
  meet(id)
  pass(0)
  const connection = succeed(dials.at(-1)!, id)
  pass(3_000)
  return connection
}

const addresses = (): string[] => dials.map((dial) => dial.address)

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
    const ids = Array.from({ length: 60 }, (_, i) => `n${i}`)
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
    expect(dials).toHaveLength(8 + 16 + config.dialsMax)
    answer()
    expect(dials).toHaveLength(60)
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
    expect(dials).toHaveLength(24 + config.dialsMax)
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
  told = []
  links.stop()
  const late = succeed(dials.at(-1)!, 'y')
  links.closed(connection)
  expect([connection.ended, late.ended, links.dueMs, told]).toEqual(['stopping', 'stopped', Infinity, []])
})
