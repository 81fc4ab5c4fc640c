/** Addresses, who is there, and when each may be dialled again. */
import { describe, expect, test } from 'vitest'
import { ADDRESSES_MAX, DialBook, IDS_PER_ADDRESS_MAX } from '../../gossip/dial-book.ts'
import { Strangers } from '../../gossip/strangers.ts'
import { TokenBucket } from '../../gossip/token-bucket.ts'

const A = '10.0.0.1:7600'
const B = '10.0.0.2:7600'
const newBook = (): DialBook => new DialBook(100, 2_000, () => 0.5)

describe('dial book', () => {
  test('backs off exponentially, bounded', () => {
    const book = newBook()
    const { entry } = book.note(A, 'member', 'x', 0)
    const delays = Array.from({ length: 8 }, () => {
      book.failed(entry, 1_000)
      return entry.nextAtMs - 1_000
    })
    expect(delays).toEqual([100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000])
    for (let i = 0; i < 1_000; i++) book.failed(entry, 1_000)
    expect(entry.nextAtMs).toBe(3_000)
  })

  test('hurries when there is a new reason, but not to an address that keeps failing', () => {
    const book = newBook()
    const { entry } = book.note(A, 'member', 'x', 0)
    book.failed(entry, 0)
    book.hurry(entry, 10)
    expect(entry.nextAtMs).toBe(10)
    book.failed(entry, 10)
    book.hurry(entry, 20)
    expect(entry.nextAtMs).toBe(210)
    book.met(entry, 'x')
    book.lasted(entry, 30)
    expect(entry).toMatchObject({ nextAtMs: 30, failures: 0 })
  })

  test('finds a member wherever it is said to be', () => {
    const book = newBook()
    book.note(A, 'seed', undefined, 0)
    book.note(B, 'member', 'x', 0)
    book.met(book.get(A)!, 'x')
    expect(book.byId('x').map(({ address }) => address)).toEqual([B, A])
    book.note(B, 'member', 'x', 0)
    expect(book.byId('x')).toHaveLength(2)
  })

  test('who left is dropped; a seed stays, without its name', () => {
    const book = newBook()
    book.note(A, 'member', 'x', 0)
    book.note(B, 'seed', 'y', 0)
    book.drop(A, 'somebody else')
    expect(book.byId('x')).toHaveLength(1)
    book.drop(A, 'x')
    book.drop(B, 'y')
    expect([book.byId('x'), book.byId('y')]).toEqual([[], []])
    expect([book.get(A), book.get(B)?.ids.size]).toEqual([undefined, 0])
  })

  test('one that claims the address of another does not take it away', () => {
    const book = newBook()
    const { entry } = book.note(A, 'member', 'victim', 0)
    for (let i = 0; i < IDS_PER_ADDRESS_MAX - 1; i++) book.note(A, 'member', `liar-${i}`, 0)
    expect(book.byId('victim')).toEqual([entry])
    book.note(A, 'member', 'one too many', 0)
    expect(entry.ids.size).toBe(IDS_PER_ADDRESS_MAX)
  })

  test('is bounded: found addresses go first, then the least needed; seeds and the living stay', () => {
    const book = newBook()
    const living = (id: string): boolean => id.startsWith('living')
    book.note('seed:1', 'seed', undefined, 0, living)
    book.note('living:1', 'member', 'living', 0, living)
    book.note('dead:1', 'member', 'dead', 0, living)
    book.note('found:1', 'found', undefined, 0, living)
    book.note('dead:2', 'member', 'dead', 0, living)
    for (let i = 0; i < ADDRESSES_MAX - 5; i++) book.note(`10.0.0.1:${i}`, 'member', `living-${i}`, 0, living)
    expect(book.size).toBe(ADDRESSES_MAX)
    const evictions = ['a:1', 'b:1'].map((address) => book.note(address, 'member', 'new', 0, living).evicted?.address)
    expect(evictions).toEqual(['found:1', 'dead:1'])
    for (let i = 0; i < 2 * ADDRESSES_MAX; i++) book.note(`10.0.0.2:${i}`, 'member', `new-${i}`, 0, living)
    expect(book.size).toBe(ADDRESSES_MAX)
    expect([book.get('seed:1')?.origin, book.get('living:1')?.origin]).toEqual(['seed', 'member'])
  })
})

test('a token bucket allows a burst, then the rate', () => {
  const bucket = new TokenBucket(10, 3, 0)
  expect([1, 2, 3, 4].map(() => bucket.take(0))).toEqual([true, true, true, false])
  expect([bucket.readyAtMs(0), bucket.take(99), bucket.take(100)]).toEqual([100, false, true])
  expect([bucket.take(10_000, 4), bucket.take(10_000, 3)]).toEqual([false, true])
})

test('strangers are reported once per address and minute', () => {
  const strangers = new Strangers(60_000)
  expect(strangers.shouldReport('10.0.0.9', 0)).toBe(true)
  expect(strangers.shouldReport('10.0.0.9', 59_999)).toBe(false)
  expect(strangers.shouldReport('10.0.0.8', 59_999)).toBe(true)
  expect(strangers.shouldReport('10.0.0.9', 60_000)).toBe(true)
})
