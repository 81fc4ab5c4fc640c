/**
 * A million messages that nobody should send, against the decoder and a living cluster: no throw, no growth, no
 * incarnation run up, no living member declared dead by what one compromised member says. The work is done in two
 * processes (fuzz-main.ts), so that each heap can be weighed.
 *
 *     FUZZ_SEED=7 FUZZ_COUNT=10000000 npx vitest run test/gossip/fuzz.test.ts
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { MEMBERS_MAX } from './fuzz-cluster.ts'
import type { FuzzReport } from './fuzz-main.ts'

const SEED = Number(process.env['FUZZ_SEED'] ?? 20_261)
const COUNT = Number(process.env['FUZZ_COUNT'] ?? 1_000_000)
const PROCESSES = 2
const TIMEOUT_MS = 300_000 + COUNT / 2
/** What garbage collection leaves behind differs a little from one time to the next. */
const HEAP_GROWTH_MIB_MAX = 2

function fuzz(seed: number): Promise<FuzzReport> {
  const count = Math.ceil(COUNT / PROCESSES)
  const env = { ...process.env, FUZZ_SEED: String(seed), FUZZ_COUNT: String(count) }
  const argv = ['--expose-gc', '--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'fuzz-main.ts')]
  return new Promise((resolve, reject) => {
    execFile(process.execPath, argv, { env, timeout: TIMEOUT_MS }, (error, stdout, stderr) => {
      try {
        resolve(JSON.parse(stdout) as FuzzReport)
      } catch {
        reject(new Error(`seed ${seed}: no report: ${stderr || error?.message}`))
      }
    })
  })
}

let reports: FuzzReport[] = []
beforeAll(async () => {
  reports = await Promise.all(Array.from({ length: PROCESSES }, (_, i) => fuzz(SEED + i)))
}, TIMEOUT_MS)

test('nothing that a compromised member says does harm', () => {
  for (const { seed, failure } of reports) {
    const replay = `FUZZ_SEED=${seed} FUZZ_COUNT=${failure?.after ?? 0} node --expose-gc test/gossip/fuzz-main.ts`
    expect(failure?.what, `after ${failure?.after} messages; again: ${replay}`).toBeUndefined()
  }
})

test('the heap does not grow', () => {
  for (const { seed, heapMiB } of reports) {
    expect(heapMiB[1] - heapMiB[0], `seed ${seed}: MiB`).toBeLessThan(HEAP_GROWTH_MIB_MAX)
  }
})

describe('the fuzzer fuzzes', () => {
  test('as much as it says', () => {
    expect(reports.reduce((sum, { messages }) => sum + messages, 0)).toBeGreaterThanOrEqual(COUNT)
  })

  test('in every way it knows, and deep enough: what is well-formed is heard', () => {
    for (const { seed, kinds, messages } of reports) {
      const tallies = Object.entries(kinds)
      for (const [kind, { made }] of tallies) expect(made, `seed ${seed}: ${kind}`).toBeGreaterThan(messages / 100)
      const heard = tallies.reduce((sum, [, tally]) => sum + tally.heard, 0)
      expect(heard / messages, `seed ${seed}`).toBeGreaterThan(0.2)
      expect(kinds['a lie']!.heard / kinds['a lie']!.made, `seed ${seed}`).toBeGreaterThan(0.4)
    }
  })

  test('up to the bounds: the table of members was full', () => {
    for (const { seed, seen } of reports) expect(seen.members, `seed ${seed}`).toBe(MEMBERS_MAX)
  })
})
