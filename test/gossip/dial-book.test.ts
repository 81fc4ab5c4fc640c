/** Whom to dial and when; whom to report and how often. */
import { describe, expect, test } from 'vitest'
import { ADDRESSES_MAX, DialBook } from '../../gossip/dial-book.ts'
import { Strangers } from '../../gossip/strangers.ts'

const noJitter = (): number => 0.5
const nobody = (): boolean => false

describe('dial book', () => {
  test('backs off exponentially, bounded, and never gives up', () => {
    const book = new DialBook(100, 2000, noJitter)
    book.note('10.0.0.1:7600', 'x', false, 0)
    const entry = book.get('10.0.0.1:7600')!
    const delays = Array.from({ length: 8 }, () => {
      book.failed(entry, 1000)
      return entry.nextAtMs - 1000
    })
    expect(delays).toEqual([100, 200, 400, 800, 1600, 2000, 2000, 2000])
    for (let i = 0; i < 1000; i++) book.failed(entry, 1000)
    expect(book.due(3000, nobody)).toEqual([entry])
  })

  test('hurries when a connection breaks, but not to an address that keeps failing', () => {
    const book = new DialBook(100, 2000, noJitter)
    book.note('10.0.0.1:7600', 'x', false, 0)
    const entry = book.get('10.0.0.1:7600')!
    book.failed(entry, 0)
    book.hurry(entry, 10)
    expect(entry.nextAtMs).toBe(10)
    book.failed(entry, 10)
    book.hurry(entry, 20)
    expect(entry.nextAtMs).toBe(210)
    book.connected(entry, 'x')
    book.lasted(entry)
    book.hurry(entry, 30)
    expect(entry.nextAtMs).toBe(30)
  })

  test('dials the unconnected and the unknown, nobody twice at a time', () => {
    const book = new DialBook(100, 2000, noJitter)
    book.note('10.0.0.1:7600', 'x', false, 0)
    book.note('10.0.0.2:7600', 'y', false, 0)
    book.note('10.0.0.3:7600', undefined, true, 0)
    book.note('10.0.0.4:7600', 'z', false, 50)
    expect(book.due(0, (id) => id === 'x').map((e) => e.address)).toEqual(['10.0.0.2:7600', '10.0.0.3:7600'])
    book.get('10.0.0.2:7600')!.dialling = true
    expect(book.due(0, (id) => id === 'x')).toHaveLength(1)
  })

  test('who left is dropped; a seed stays, without its name', () => {
    const book = new DialBook(100, 2000, noJitter)
    book.note('10.0.0.1:7600', 'x', false, 0)
    book.note('10.0.0.2:7600', 'y', true, 0)
    book.drop('10.0.0.1:7600', 'somebody else')
    expect(book.byId('x')).toBeDefined()
    book.drop('10.0.0.1:7600', 'x')
    book.drop('10.0.0.2:7600', 'y')
    expect([book.byId('x'), book.byId('y')]).toEqual([undefined, undefined])
    expect(book.due(0, nobody).map((e) => e.address)).toEqual(['10.0.0.2:7600'])
  })

  test('is bounded, and keeps its seeds', () => {
    const book = new DialBook(100, 2000, noJitter)
    book.note('seed:1', undefined, true, 0)
    for (let i = 0; i < ADDRESSES_MAX + 10; i++) book.note(`10.0.0.1:${i}`, String(i), false, 0)
    expect(book.due(0, nobody)).toHaveLength(ADDRESSES_MAX)
    expect(book.get('seed:1')).toBeDefined()
  })
})

test('strangers are reported once per address and minute', () => {
  const strangers = new Strangers(60_000)
  expect(strangers.shouldReport('10.0.0.9', 0)).toBe(true)
  expect(strangers.shouldReport('10.0.0.9', 59_999)).toBe(false)
  expect(strangers.shouldReport('10.0.0.8', 59_999)).toBe(true)
  expect(strangers.shouldReport('10.0.0.9', 60_000)).toBe(true)
})
