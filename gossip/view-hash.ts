/**
 * One number for the slow part of a whole view: the sum (mod 2^32) of a hash per member, so that it is kept up to date
 * in O(1). Two nodes whose numbers agree hold the same facts and verdicts, but for one chance in 2^32, which ends with
 * the next change of anything.
 */
import type { DigestEntry } from './messages.ts'

const STATUS_CODES = { alive: 0, suspect: 1, dead: 2, left: 3 } as const

export function entryHash({ key, incarnation, factsVersion, status, evidence }: DigestEntry): number {
  let hash = 0x811c9dc5
  hash = mix(hash, key)
  hash = mix(hash, Math.floor(key / 2 ** 32))
  hash = mix(hash, incarnation)
  hash = mix(hash, Math.floor(incarnation / 2 ** 32))
  hash = mix(hash, factsVersion)
  hash = mix(hash, STATUS_CODES[status])
  hash = mix(hash, evidence)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  return (hash ^ (hash >>> 13)) >>> 0
}

/** One round of MurmurHash3 (32 bits); of larger numbers the lowest 32 bits count. */
function mix(hash: number, word: number): number {
  const k = Math.imul(word, 0xcc9e2d51)
  const h = hash ^ Math.imul((k << 15) | (k >>> 17), 0x1b873593)
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0
}
