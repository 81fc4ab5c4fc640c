/** Several links to one peer: which counts, how long the others are kept, who comes after it. */
import { beforeEach, expect, test } from 'vitest'
import { lanConfig } from '../../gossip/config.ts'
import { Link } from '../../gossip/link.ts'
import { Peering } from '../../gossip/peering.ts'

const config = lanConfig()
let first: Link
let peering: Peering

/** From peer `z` to us, `m`: an outbound link is the lower id's. */
function linkAt(nowMs: number, direction: 'inbound' | 'outbound' = 'outbound'): Link {
  return new Link({ peer: 'z', address: '10.0.0.1:7600', direction, send: () => true, abort: () => undefined }, nowMs)
}

beforeEach(() => {
  first = linkAt(0)
  peering = new Peering('m', first, config)
})

test('the surplus link is kept for 500 ms, for what is under way on it', () => {
  expect(peering.settle(linkAt(100)).isNewer).toBe(true)
  expect(peering.dueMs(true)).toBe(600)
  expect([peering.over(599), peering.over(600)]).toEqual([[], [first]])
})

test('one that was replaced for its silence is not', () => {
  first.sent(true, 0)
  expect(peering.inspect(true, 2_001 + config.silentStreamMs)).toBe('silent')
  peering.settle(linkAt(5_000))
  expect(peering.over(5_000)).toEqual([first])
})

test('the current link ends: the sound surplus link counts again, and for good', () => {
  const second = linkAt(100)
  peering.settle(second)
  expect(peering.end(second)).toBe(true)
  expect([peering.current, peering.over(1e9), peering.links]).toEqual([first, [], [first]])
  expect(peering.end(first), 'none is left').toBe(false)
})

test('a surplus link that is to be renewed inherits nothing', () => {
  first.renew(50, 1_000)
  const second = linkAt(3_000)
  peering.settle(second)
  expect(peering.end(second)).toBe(false)
})

test('of too many links the oldest surplus one has to go', () => {
  const excess = [100, 200, 300, 400].map((atMs) => peering.settle(linkAt(atMs)).excess)
  expect(excess).toEqual([undefined, undefined, undefined, first])
})

test('each replacement that falls silent, too, gets twice as long, until one has been in order for 10 s', () => {
  const patience: number[] = []
  let nowMs = 0
  for (let turn = 0; turn < 6; turn++) {
    nowMs += 5_000
    peering.current.sent(true, nowMs)
    patience.push(peering.dueMs(true) - nowMs)
    nowMs = peering.dueMs(true)
    expect(peering.inspect(true, nowMs)).toBe('silent')
    peering.settle(linkAt(nowMs))
    for (const link of peering.over(nowMs)) peering.end(link)
  }
  expect(patience.map((ms) => ms / config.silentStreamMs)).toEqual([1, 2, 4, 8, 16, 16])
  peering.settle(linkAt(nowMs + 10_000))
  peering.current.sent(true, nowMs + 20_000)
  peering.end(peering.links[0]!)
  expect(peering.dueMs(true) - nowMs - 20_000).toBe(config.silentStreamMs)
})
