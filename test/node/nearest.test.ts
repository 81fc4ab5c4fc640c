import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { editDistance, nearest } from '../../node/nearest.ts'

describe('nearest', () => {
  const keys = ['name', 'nodeAddress', 'published', 'publishedRanges', 'policy', 'load', 'log']
  test.each<[word: string, guess: string | undefined]>([
    ['polcy', 'policy'],
    ['nodeaddress', 'nodeAddress'],
    ['node-address', 'nodeAddress'],
    ['publihsed', 'published'],
    ['lgo', 'log'],
    ['logs', 'log'],
    ['timeout', undefined],
    ['x', undefined],
    ['', undefined],
  ])('%s: did you mean %s?', (word, guess) => {
    expect(nearest(word, keys)).toBe(guess)
  })
})

describe('the distance', () => {
  test.each<[from: string, to: string, distance: number]>([
    ['', 'abc', 3],
    ['abc', '', 3],
    ['abc', 'abc', 0],
    ['abc', 'abd', 1],
    ['abc', 'acb', 1],
    ['kitten', 'sitting', 3],
  ])('from "%s" to "%s" is %i', (from, to, distance) => {
    expect(editDistance(from, to)).toBe(distance)
  })

  /** The definition, word by word; exponential, so for short words only. */
  function slowDistance(a: string, b: string): number {
    if (a === '' || b === '') return a.length + b.length
    const [a1, b1] = [a.slice(1), b.slice(1)]
    const edits = [slowDistance(a1, b) + 1, slowDistance(a, b1) + 1, slowDistance(a1, b1) + (a[0] === b[0] ? 0 : 1)]
    if (a.length > 1 && b.length > 1 && a[0] === b[1] && a[1] === b[0]) {
      edits.push(slowDistance(a.slice(2), b.slice(2)) + 1)
    }
    return Math.min(...edits)
  }

  test('is what the slow definition says', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 5 })
    fc.assert(
      fc.property(word, word, (a, b) => {
        expect(editDistance(a, b)).toBe(slowDistance(a, b))
      }),
      { seed: 5, numRuns: 300 },
    )
  })
})
