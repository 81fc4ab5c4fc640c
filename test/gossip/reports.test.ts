/** Load reports as bytes: golden bytes, garbage, what is relayed, and who is told first. */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { zeroCounters } from '../../gossip/counters.ts'
import { ReportBoard } from '../../gossip/report-board.ts'
import { ReportTable } from '../../gossip/report-table.ts'
import {
  BATCH_MAX,
  ReportBatch,
  ReportReader,
  ReportWriter,
  loadUnits,
  sourceCode,
  sourceName,
} from '../../gossip/reports.ts'

interface Report {
  key: number
  incarnation: number
  version: number
  load: number
  source: string
  ageMs: number
}

const NOW_MS = 1_000_000

/** A table with these reports; the first is its owner's. */
function tableOf(reports: readonly Report[]): ReportTable {
  const table = new ReportTable()
  for (const [row, { key, incarnation, version, load, source, ageMs }] of reports.entries()) {
    const { kind, tail } = sourceCode(source)
    table.append(key, incarnation, NOW_MS)
    table.set(row, version, loadUnits(load), kind, NOW_MS - ageMs)
    table.setTail(row, tail)
    table.setTold(row, true)
  }
  return table
}

function blockOf(report: Report): Uint8Array {
  return blockOfAll(tableOf([report]), 1_000)
}

/** All rows, in their order. */
function blockOfAll(table: ReportTable, bytesMax: number): Uint8Array {
  const writer = new ReportWriter(bytesMax)
  const batch = new ReportBatch()
  const rows = Int32Array.from({ length: table.length }, (_, row) => row)
  table.gather(rows, rows.length, NOW_MS, batch)
  for (const row of rows) expect(writer.add(batch, row, table.tail(row))).toBe(true)
  return writer.take()
}

const BASE: Report = { key: 0x0123456789ab, incarnation: 0x107, version: 300, load: 0.5, source: 'flows', ageMs: 100 }

describe('golden bytes', () => {
  test.each([
    { name: 'a known source takes one byte', report: BASE, hex: '0123456789ab 07 ac02 19 8827 01' },
    {
      name: 'another travels as text',
      report: { ...BASE, source: 'gpu' },
      hex: '0123456789ab 07 ac02 19 8827 8f 04 03 677075',
    },
    {
      name: 'small numbers take one byte each',
      report: { ...BASE, version: 1, load: 0.01, ageMs: 0 },
      hex: '0123456789ab 07 01 00 64 01',
    },
    {
      name: 'large numbers survive',
      report: { ...BASE, version: 2 ** 47, load: 200_000, ageMs: 86_400_000 },
      hex: '0123456789ab 07 80808080808020 80aea60a 80a8d6b907 01',
    },
  ])('$name', ({ report, hex }) => {
    expect(Buffer.from(blockOf(report)).toString('hex')).toBe(hex.replaceAll(' ', ''))
    const reader = new ReportReader()
    reader.open(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
    expect(reader.next()).toBe(true)
    expect(reader).toMatchObject({
      key: report.key,
      life: report.incarnation % 256,
      version: report.version,
      ageMs: report.ageMs,
      loadUnits: loadUnits(report.load),
    })
    expect(sourceName(reader.kind, reader.tail)).toBe(report.source)
    expect(reader.next()).toBe(false)
    expect(reader.malformed).toBe(false)
  })
})

test('whatever the numbers, what is written is read', () => {
  const report = fc.record({
    key: fc.maxSafeNat().map((n) => n % 58 ** 8),
    incarnation: fc.nat(),
    version: fc.maxSafeNat().map((n) => 1 + (n % 2 ** 48)),
    load: fc.double({ min: 0, max: 200_000, noNaN: true }),
    source: fc.string({ maxLength: 40 }),
    ageMs: fc.integer({ min: 0, max: 1_000_000 }).map((n) => n * 4),
  })
  fc.assert(
    fc.property(fc.array(report, { minLength: 1, maxLength: 20 }), (reports) => {
      const reader = new ReportReader()
      reader.open(blockOfAll(tableOf(reports), 10_000))
      for (const { key, version, ageMs, load } of reports) {
        expect(reader.next()).toBe(true)
        expect([reader.key, reader.version, reader.ageMs, reader.loadUnits]).toEqual([
          key,
          version,
          ageMs,
          loadUnits(load),
        ])
      }
      expect(reader.next() || reader.malformed).toBe(false)
    }),
    { numRuns: 500, seed: 20_263 },
  )
})

test('garbage ends in a verdict, after whatever was sound before it', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (garbage) => {
      const reader = new ReportReader()
      reader.open(Buffer.concat([blockOf(BASE), garbage]))
      expect(reader.next() && reader.version === BASE.version).toBe(true)
      let count = 0
      while (reader.next()) count++
      expect(count).toBeLessThanOrEqual(garbage.length / 11)
    }),
    { numRuns: 5_000, seed: 20_264 },
  )
})

describe('a board', () => {
  const cluster = (count: number): Report[] =>
    Array.from({ length: count }, (_, index) => ({ ...BASE, key: index + 1, version: 5, ageMs: 40 * index }))
  const boardOf = (table: ReportTable, bytesMax = 4_096): ReportBoard =>
    new ReportBoard(table, bytesMax, zeroCounters())
  const keysOf = (block: Uint8Array): number[] => {
    const reader = new ReportReader()
    const keys: number[] = []
    reader.open(block)
    while (reader.next()) keys.push(reader.key)
    return keys
  }

  test('tells its own report first, then the youngest', () => {
    const told = keysOf(boardOf(tableOf(cluster(100)), 400).select(NOW_MS, false))
    expect(told[0]).toBe(1)
    expect(told.length).toBeGreaterThan(25)
    expect(Math.max(...told)).toBeLessThan(told.length + 10)
  })

  test('leaves nobody out for ever among equals', () => {
    const board = boardOf(tableOf(cluster(100).map((report) => ({ ...report, ageMs: 500 }))), 400)
    const told = new Set<number>()
    for (let round = 0; round < 40; round++) for (const key of keysOf(board.select(NOW_MS, false))) told.add(key)
    expect(told.size).toBe(100)
  })

  test('does not answer with what the question knew', () => {
    const [mine, theirs] = [cluster(20), cluster(20)]
    theirs[3]!.version = 4
    theirs[4]!.version = 6
    const question = boardOf(tableOf(theirs)).select(NOW_MS, false)
    const board = boardOf(tableOf(mine))
    board.merge(question, NOW_MS)
    expect(keysOf(board.select(NOW_MS, true))).toEqual([4])
    expect(keysOf(board.select(NOW_MS, false))).toHaveLength(20)
  })

  test('takes news only, of the same life only, and nothing about itself', () => {
    const table = tableOf(cluster(4))
    const board = boardOf(table)
    const news = cluster(4).map((report) => ({ ...report, version: 9, load: 0.75 }))
    news[1]!.version = 5
    news[2]!.incarnation++
    expect(board.merge(boardOf(tableOf(news)).select(NOW_MS, false), NOW_MS)).toBe(9)
    expect([0, 1, 2, 3].map((row) => table.version(row))).toEqual([5, 5, 5, 9])
    expect(table.loadUnits(3)).toBe(7_500)
  })

  test('takes in a block of any length, whatever is read at a time', () => {
    const counts = fc.constantFrom(0, 1, BATCH_MAX - 1, BATCH_MAX, BATCH_MAX + 1, 3 * BATCH_MAX)
    fc.assert(
      fc.property(counts, (count) => {
        const table = tableOf(cluster(count + 1))
        const news = tableOf([BASE, ...cluster(count + 1).slice(1)].map((report) => ({ ...report, version: 6 })))
        boardOf(table).merge(boardOf(news, 65_536).select(NOW_MS, false), NOW_MS)
        const versions = Array.from({ length: count + 1 }, (_, row) => table.version(row))
        expect(versions).toEqual([5, ...Array.from({ length: count }, () => 6)])
      }),
      { numRuns: 20, seed: 20_266 },
    )
  })

  test('relays what a later version adds, byte for byte', () => {
    const table = tableOf(cluster(2))
    const board = boardOf(table)
    const later = Buffer.from('000000000002 07 06 05 64 c7 03 aabbcc'.replaceAll(' ', ''), 'hex')
    board.merge(later, NOW_MS)
    expect(Buffer.from(board.select(NOW_MS, false)).toString('hex')).toContain(later.toString('hex'))
  })
})

test('a table finds its rows through any changes', () => {
  const operations = fc.array(fc.tuple(fc.boolean(), fc.nat({ max: 200 })), { maxLength: 400 })
  fc.assert(
    fc.property(operations, (list) => {
      const table = new ReportTable()
      const rows: number[] = []
      for (const [add, key] of list) {
        const row = rows.indexOf(key)
        if (add && row < 0) {
          table.append(key, 1, 0)
          table.set(rows.push(key) - 1, key, 0, 0, 0)
        } else if (!add && row >= 0) {
          table.remove(row)
          const last = rows.pop()!
          if (row < rows.length) rows[row] = last
        }
        for (let k = 0; k <= 200; k += 7) expect(table.find(k)).toBe(rows.indexOf(k))
        for (const [at, k] of rows.entries()) expect(table.version(at)).toBe(k)
        const some = Float64Array.from({ length: 40 }, (_, place) => place * 5)
        const found = new Int32Array(some.length)
        table.findAll(some, found, some.length)
        expect([...found]).toEqual([...some].map((k) => rows.indexOf(k)))
      }
    }),
    { numRuns: 100, seed: 20_265 },
  )
})
