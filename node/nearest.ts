/**
 * "Did you mean …": the candidate with the smallest edit distance, where it is small enough to be a slip. Distance is
 * optimal string alignment (Levenshtein plus transposition of neighbours), so `tolreance` is one slip from `tolerance`.
 */

/** Words longer than this are compared by their beginning: the distance takes time proportional to the product. */
const WORD_CHARACTERS_MAX = 64

/** The nearest candidate within a third of the word's length (at least 1, at most 3), or undefined. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(1, Math.min(3, Math.floor(word.length / 3))) + 1
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** Insertions, deletions, substitutions and swaps of neighbours that turn one word into the other. */
export function editDistance(from: string, to: string): number {
  const a = from.slice(0, WORD_CHARACTERS_MAX)
  const b = to.slice(0, WORD_CHARACTERS_MAX)
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1]
      let cost = Math.min(last[column]! + 1, current[column - 1]! + 1, last[column - 1]! + (same ? 0 : 1))
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      if (swapped) cost = Math.min(cost, beforeLast[column - 2]! + 1)
      current.push(cost)
    }
    beforeLast = last
    last = current
  }
  return last[b.length]!
}
