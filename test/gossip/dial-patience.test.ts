/** What dials teach about how long others take, and that being late ourselves is noticed. */
import { expect, test, vi } from 'vitest'
import { lanConfig } from '../../gossip/config.ts'
import { DialBook } from '../../gossip/dial-book.ts'
import { Dialler } from '../../gossip/dialler.ts'
import { verifySignature } from '../../gossip/identity.ts'
import { Links } from '../../gossip/links.ts'
import type { Network, PeerConnection } from '../../gossip/network.ts'
import { Peer } from '../../gossip/peer.ts'
import { factsOf, seededRandom, signerOf } from './fixtures.ts'

const config = lanConfig()

test('an address that accepts and never answers does not make the others wait', () => {
  let nowMs = 0
  const due: { atMs: number; act: () => void }[] = []
  const after = (ms: number, act: () => void): number => due.push({ atMs: nowMs + ms, act })
  const network = {
    id: 'self',
    dial(address, _timeoutMs, done, progress) {
      after(1, () => progress?.('accepted'))
      if (address === 'mute:1') {
        after(config.handshakeTimeoutMs, () => done({ ok: false, failure: 'unreachable' }))
        return
      }
      after(20, () => progress?.('answered'))
      after(50, () => done({ ok: true, connection: { peer: 'good', abort() {} } as unknown as PeerConnection }))
    },
  } as Pick<Network, 'id' | 'dial'> as Network
  const linked = new Set<string>()
  const wanted = new Set<string>()
  const book = new DialBook(config.redialMinMs, config.redialMaxMs, () => 0.5)
  const dialler = new Dialler(
    network,
    book,
    config,
    { isLinked: (id) => linked.has(id), isWanted: (id) => wanted.has(id), isLiving: (id) => wanted.has(id) },
    { connected: (_entry, { peer }) => void linked.add(peer), failed() {} },
    () => nowMs,
  )
  const runUntil = (endMs: number): void => {
    for (; nowMs < endMs; nowMs++) {
      for (const event of due.filter(({ atMs }) => atMs <= nowMs)) {
        due.splice(due.indexOf(event), 1)
        event.act()
      }
      if (dialler.dueMs <= nowMs) dialler.sweep(nowMs)
    }
  }
  dialler.reconsider(book.note('mute:1', 'seed', undefined, nowMs).entry)
  runUntil(60_000)
  expect(dialler.slowMs).toBe(0)
  wanted.add('good')
  dialler.reconsider(book.note('good:1', 'member', 'good', nowMs).entry)
  runUntil(61_000)
  expect(linked.has('good')).toBe(true)
})

test('a process that stood still forgives its links, though it reads before its timer fires', async () => {
  const forgive = vi.spyOn(Links.prototype, 'forgive')
  try {
    let nowMs = 1_000
    const timers = new Set<{ atMs: number; act: () => void }>()
    const fire = (): void => {
      for (const timer of [...timers].toSorted((a, b) => a.atMs - b.atMs)) {
        if (timer.atMs <= nowMs && timers.delete(timer)) timer.act()
      }
    }
    const signer = await signerOf(0)
    const peer = new Peer({
      core: {
        config,
        signer,
        verify: verifySignature,
        facts: factsOf(0),
        software: 'test 1',
        incarnation: 1,
        random: seededRandom(1),
      },
      network: { id: signer.id, start: async () => {}, stop: async () => {}, dial() {} },
      clock: {
        now: () => nowMs,
        schedule(atMs, act) {
          const timer = { atMs, act }
          timers.add(timer)
          return () => void timers.delete(timer)
        },
      },
      seeds: [],
      onEvent() {},
    })
    peer.begin()
    for (; nowMs < 3_000; nowMs++) fire()
    nowMs = Math.min(...[...timers].map(({ atMs }) => atMs)) + 800
    peer.learn([])
    fire()
    expect(forgive.mock.calls.map(([lateMs]) => Math.round(lateMs))).toEqual([800])
    peer.stop()
  } finally {
    forgive.mockRestore()
  }
})
