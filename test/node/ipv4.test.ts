import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  blockOf,
  contains,
  coveringBlock,
  formatAddress,
  formatBlock,
  isUnicast,
  parseAddress,
  parseBlock,
} from '../../node/ipv4.ts'

const address = fc.integer({ min: 0, max: 0xffffffff })
const SEEDED = { seed: 4, numRuns: 500 }

describe('addresses', () => {
  test.each<[text: string, number: number | undefined]>([
    ['0.0.0.0', 0],
    ['255.255.255.255', 0xffffffff],
    ['10.1.0.1', 0x0a010001],
    ['10.1.0', undefined],
    ['10.1.0.1.1', undefined],
    ['10.1.0.256', undefined],
    ['10.1.0.01', undefined],
    ['10.1.0.-1', undefined],
    ['10.1.0.1 ', undefined],
    ['10.1.0.0x1', undefined],
    ['10.1..1', undefined],
    ['', undefined],
  ])('"%s" is %s', (text, number) => {
    expect(parseAddress(text)).toBe(number)
  })

  test('formatting and parsing undo each other', () => {
    fc.assert(
      fc.property(address, (number) => {
        expect(parseAddress(formatAddress(number))).toBe(number)
      }),
      SEEDED,
    )
  })

  test.each<[text: string, unicast: boolean]>([
    ['0.1.2.3', false],
    ['1.0.0.0', true],
    ['126.255.255.255', true],
    ['127.0.0.1', false],
    ['223.255.255.255', true],
    ['224.0.0.1', false],
    ['255.255.255.255', false],
  ])('%s is unicast: %s', (text, unicast) => {
    expect(isUnicast(parseAddress(text)!)).toBe(unicast)
  })
})

describe('blocks', () => {
  test.each<[text: string, valid: boolean]>([
    ['10.1.0.96/28', true],
    ['10.1.0.97/28', false],
    ['10.1.0.97/32', true],
    ['0.0.0.0/0', true],
    ['128.0.0.0/1', true],
    ['10.1.0.0/33', false],
    ['10.1.0.0/', false],
    ['10.1.0.0/08', false],
    ['10.1.0.0', false],
    ['10.1.0.0/8/8', false],
  ])('"%s" is a block: %s', (text, valid) => {
    const block = parseBlock(text)
    expect(block !== undefined).toBe(valid)
    if (block !== undefined) expect(formatBlock(block)).toBe(text)
  })

  test('an address is in its block, and the address after the last is not', () => {
    fc.assert(
      fc.property(address, fc.integer({ min: 1, max: 32 }), (number, prefixLength) => {
        const block = blockOf(number, prefixLength)
        const next = block.base + 2 ** (32 - prefixLength)
        expect(contains(block, number)).toBe(true)
        if (next <= 0xffffffff) expect(contains(block, next)).toBe(false)
      }),
      SEEDED,
    )
  })

  test('the covering block holds all, and neither of its halves does', () => {
    fc.assert(
      fc.property(fc.array(address, { minLength: 1, maxLength: 5 }), (numbers) => {
        const { base, prefixLength } = coveringBlock(numbers)
        const inside = (length: number, at: number) => numbers.every((number) => contains(blockOf(at, length), number))
        expect(inside(prefixLength, base)).toBe(true)
        if (prefixLength < 32) {
          expect(inside(prefixLength + 1, base)).toBe(false)
          expect(inside(prefixLength + 1, base + 2 ** (31 - prefixLength))).toBe(false)
        }
      }),
      SEEDED,
    )
  })
})
