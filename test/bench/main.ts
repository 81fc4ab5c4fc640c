/**
 * The benchmarks of the design's "Numbers to beat", as far as they exist: `npm run bench -- [get|packets|core|…]`.
 * Progress goes to stderr, tables to stdout, everything that was measured to the file of --out. See
 * docs/results/README.md.
 *
 * Exit code: 0 when every figure could be verified, 1 when one was refused or a benchmark failed, 2 for a command line
 * that cannot be followed, 128 + the signal's number when one ended it.
 */
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { cpuTime, describeMachine, describeSteal, machineFacts, stealShare } from './machine.ts'
import { BENCHES, parseOptions, USAGE, UsageError } from './options.ts'
import type { BenchName, Options } from './options.ts'
import { refusals, renderSection } from './report.ts'
import type { BenchResult } from './report.ts'
import { messageOf } from './run-context.ts'
import type { RunContext } from './run-context.ts'

const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Loaded when needed: a wrong command line, or `core` alone, needs no lab. */
const LOADERS: Readonly<Record<BenchName, () => Promise<(context: RunContext) => Promise<BenchResult>>>> = {
  get: async () => (await import('./get.ts')).benchGet,
  packets: async () => (await import('./packets.ts')).benchPackets,
  core: async () => (await import('./core.ts')).benchCore,
  detect: async () => (await import('./detect.ts')).benchDetect,
  calm: async () => (await import('./calm.ts')).benchCalm,
  idle: async () => (await import('./idle.ts')).benchIdle,
  peers: async () => (await import('./peers.ts')).benchPeers,
  simulation: async () => (await import('./simulation.ts')).benchSimulation,
}
/** Those that build no network namespaces. */
const WITHOUT_ROOT: ReadonlySet<BenchName> = new Set(['core', 'peers', 'simulation'])

interface Outcome {
  results: Partial<Record<BenchName, BenchResult>>
  /** Benchmarks that ended without a result, and why. */
  failures: Partial<Record<BenchName, string>>
}

async function runAll(context: RunContext): Promise<Outcome> {
  const outcome: Outcome = { results: {}, failures: {} }
  for (const name of context.options.benches) {
    if (context.signal.aborted) break
    context.say(`${name}:`)
    try {
      const bench = await LOADERS[name]()
      const result = await bench(context)
      outcome.results[name] = result
      for (const section of result.sections) console.log(renderSection(section))
    } catch (error) {
      if (context.signal.aborted) break
      outcome.failures[name] = messageOf(error)
      console.log(`\n${name}: no figures: ${messageOf(error)}`)
    }
  }
  return outcome
}

/** Fails before the minutes of measuring, not after them. */
function checkWritable(file: string | undefined): void {
  if (file === undefined) return
  try {
    closeSync(openSync(file, 'a'))
  } catch (error) {
    throw new UsageError(`--out: ${messageOf(error)}`)
  }
}

async function bench(options: Options): Promise<number> {
  if (process.getuid?.() !== 0 && options.benches.some((name) => !WITHOUT_ROOT.has(name))) {
    const rest = [...WITHOUT_ROOT].join(', ')
    throw new UsageError(`network namespaces need root: run it with sudo, or only ${rest}`)
  }
  checkWritable(options.out)
  const abort = new AbortController()
  let endedBy: NodeJS.Signals | undefined
  for (const name of ENDING_SIGNALS) {
    process.on(name, () => {
      endedBy ??= name
      console.error(`\n${name}: removing what was built`)
      abort.abort(new Error(`ended by ${name}`))
    })
  }
  // A reader that went away, `head` say, must not end us before the labs are gone.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', (error) => abort.abort(error))
  const machine = machineFacts()
  for (const line of describeMachine(machine)) console.log(line)
  const startedMs = performance.now()
  const cpuBefore = cpuTime()
  const context: RunContext = { options, signal: abort.signal, say: (line) => console.error(line) }
  const { results, failures } = await runAll(context)
  const steal = stealShare(cpuBefore, cpuTime())
  for (const line of describeSteal(steal)) console.log(line)
  const seconds = Math.round((performance.now() - startedMs) / 1_000)
  if (options.out !== undefined) {
    const report = { version: 1, machine, options, seconds, stealShare: steal, endedBy, results, failures }
    writeFileSync(options.out, `${JSON.stringify(report, null, 2)}\n`)
  }
  if (endedBy !== undefined) return 128 + constants.signals[endedBy]
  if (abort.signal.aborted) return 1
  const refused = refusals(BENCHES.flatMap((name) => results[name]?.sections ?? []))
  const failed = Object.keys(failures).length
  console.log(`\n${seconds} s; ${refused} figures refused, ${failed} benchmarks failed`)
  return refused + failed === 0 ? 0 : 1
}

async function main(): Promise<number> {
  try {
    const options = parseOptions(process.argv.slice(2))
    if (options !== undefined) return await bench(options)
    console.log(USAGE)
    return 0
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    console.error(`${error.message}\n\n${USAGE}`)
    return 2
  }
}

process.exitCode = await main()
