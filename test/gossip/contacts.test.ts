/** Which end of a link counts as a failure of its address. */
import { expect, test } from 'vitest'
import { lanConfig } from '../../gossip/config.ts'
import { Contacts } from '../../gossip/contacts.ts'
import { DialBook } from '../../gossip/dial-book.ts'
import { Dialler } from '../../gossip/dialler.ts'
import type { Network } from '../../gossip/network.ts'

const ADDRESS = '10.0.0.1:7600'

test.each([
  { name: 'just short of a second is one more failure', lifetimeMs: 999, failures: 4, redialledAfterMs: 800 },
  { name: 'of a second forgives all failures: redialled at once', lifetimeMs: 1_000, failures: 0, redialledAfterMs: 0 },
  { name: 'of an hour does too', lifetimeMs: 3_600_000, failures: 0, redialledAfterMs: 0 },
])('a life of a link $name', ({ lifetimeMs, failures, redialledAfterMs }) => {
  const nowMs = 50_000
  const [config, random, now] = [lanConfig(), (): number => 0.5, (): number => nowMs]
  const book = new DialBook(config.redialMinMs, config.redialMaxMs, random)
  const network: Network = { id: 'us', start: async () => {}, dial: () => {}, stop: async () => {} }
  const needs = { isLinked: () => false, isWanted: () => true, isLiving: () => true }
  const dialler = new Dialler(network, book, config, needs, { connected: () => {}, failed: () => {} }, now)
  const contacts = new Contacts({ ownId: 'us', config, book, dialler, now, random })
  contacts.noteMember('x', ADDRESS, true)
  const entry = book.get(ADDRESS)!
  for (let times = 0; times < 3; times++) book.failed(entry, nowMs)
  contacts.linkEnded('x', lifetimeMs)
  expect([entry.failures, entry.nextAtMs - nowMs]).toEqual([failures, redialledAfterMs])
})
