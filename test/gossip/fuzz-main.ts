/**
 * The fuzzer itself, in a process of its own for the sake of its heap: so many mutated messages from one seed, each
 * given to the decoder and, if that accepts it, to a member of a living cluster (fuzz-cluster.ts).
 *
 *     FUZZ_SEED=7 FUZZ_COUNT=1000000 node --expose-gc test/gossip/fuzz-main.ts
 *
 * Prints one line of JSON, a `FuzzReport`; what went wrong is part of it, and the exit code is 1 then.
 */
import { decodeMessage } from '../../gossip/codec.ts'
import type { Random } from '../../lab/simulate/random.ts'
import { BYTE_MUTATIONS, below, pick } from './fuzz-bytes.ts'
import { FuzzedCluster } from './fuzz-cluster.ts'
import { lieOf } from './fuzz-lies.ts'
import { seededRandom } from './fixtures.ts'

export interface FuzzReport {
  seed: number
  /** Mutated messages, and how many of them the decoder let pass, by kind of mutation. */
  messages: number
  kinds: Record<string, { made: number; heard: number }>
  /** After the first quarter and at the end, garbage collected. */
  heapMiB: [first: number, last: number]
  seen: FuzzedCluster['seen']
  virtualSeconds: number
  seconds: number
  /** What went wrong, after how many messages. */
  failure?: { after: number; what: string }
}

const LIES = 'a lie'
const REPLAYS = 'a replay'
/** Shares of all mutations; the rest are changes of bytes. */
const LIES_SHARE = 0.3
const REPLAYS_SHARE = 0.05
/** Messages between two ticks of the clock by a millisecond, between two stirs, and between two looks at all views. */
const PER_MS = 3
const STIR_EVERY = 300
const CHECK_EVERY = 500
/** The liar falls silent for so long, in the end, and all must be well. */
const CALM_MS = 15_000

async function fuzz(seed: number, count: number): Promise<FuzzReport> {
  const startedMs = performance.now()
  const random = seededRandom(seed)
  const cluster = await FuzzedCluster.create(random)
  const report: FuzzReport = {
    seed,
    messages: 0,
    kinds: {},
    heapMiB: [0, 0],
    seen: cluster.seen,
    virtualSeconds: 0,
    seconds: 0,
  }
  try {
    while (report.messages < count) {
      const { kind, frame } = mutant(cluster, random)
      const tally = (report.kinds[kind] ??= { made: 0, heard: 0 })
      tally.made++
      if (cluster.say(frame) === 'heard') tally.heard++
      report.messages++
      if (report.messages % PER_MS === 0) cluster.run(1)
      if (report.messages % STIR_EVERY === 0) cluster.stir()
      if (report.messages % CHECK_EVERY === 0) cluster.check()
      if (report.messages === Math.floor(count / 4)) report.heapMiB[0] = heapMiB()
    }
    cluster.run(CALM_MS)
    cluster.checkCalm()
    report.heapMiB[1] = heapMiB()
  } catch (error) {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
    report.failure = { after: report.messages, what }
  }
  report.virtualSeconds = Math.round(cluster.nowMs / 1_000)
  report.seconds = Math.round((performance.now() - startedMs) / 100) / 10
  return report
}

const BYTE_KINDS = Object.keys(BYTE_MUTATIONS)

function mutant(cluster: FuzzedCluster, random: Random): { kind: string; frame: Uint8Array } {
  const { corpus } = cluster
  const original = pick(random, corpus)
  const share = random()
  if (share < REPLAYS_SHARE) return { kind: REPLAYS, frame: original }
  if (share < REPLAYS_SHARE + LIES_SHARE) {
    const [one, other] = [decodeMessage(original), decodeMessage(pick(random, corpus))]
    if (!one.ok || !other.ok) throw new Error('the corpus holds what cannot be read')
    const { liar: own, invented, ids, nowMs } = cluster
    const frame = lieOf(one.message, other.message, { own, invented, ids, nowMs }, random)
    if (frame !== undefined) return { kind: LIES, frame }
  }
  const kind = BYTE_KINDS[below(random, BYTE_KINDS.length)]!
  return { kind, frame: BYTE_MUTATIONS[kind]!(original, random, corpus) }
}

function heapMiB(): number {
  if (globalThis.gc === undefined) throw new Error('run it with --expose-gc')
  globalThis.gc()
  return Math.round((process.memoryUsage().heapUsed / 2 ** 20) * 10) / 10
}

function numberOf(variable: string): number {
  const value = Number(process.env[variable])
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw new Error(`${variable} is ${process.env[variable]}; it must be a whole number`)
}

const report = await fuzz(numberOf('FUZZ_SEED'), numberOf('FUZZ_COUNT'))
console.log(JSON.stringify(report))
process.exitCode = report.failure === undefined ? 0 : 1
