/** The command line of the benchmarks. */
import { parseArgs } from 'node:util'

export const BENCHES = ['get', 'packets', 'core', 'detect', 'calm', 'idle', 'peers', 'simulation'] as const
export type BenchName = (typeof BENCHES)[number]

export interface Options {
  benches: readonly BenchName[]
  /** Pairs of runs in `get` and of uploads in `packets`. */
  pairs: number
  /** Faults of each kind in `detect`. */
  rounds: number
  /** Of each measured run. */
  seconds: number
  /** How long `calm` watches, and the virtual minutes of the longest run of `simulation`. */
  minutes: number
  /** Runs of each kind in `simulation`. */
  seeds: number
  /** Larger clusters are not simulated. */
  members: number
  /** Where the raw results go. */
  out: string | undefined
  /** Folder for the pictures of `simulation`. */
  plots: string | undefined
}

/** A command line that cannot be followed; the message says which word. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

export const USAGE = `node test/bench/main.ts [${BENCHES.join('|')}|all …] [--pairs N] [--rounds N] [--seconds S]
       [--minutes M] [--seeds N] [--members N] [--out FILE.json] [--plots DIRECTORY]

  get         GET/s through DPR ÷ direct: redirected by mac and by ipip, and served locally through the engine
  packets     packets/s through the engine alone, and bulk uploads through DPR ÷ direct
  core        ns per packet of the rewriting decision alone
  detect      time until all see a killed daemon or a cut host, without and with 15 % packet loss
  calm        living members declared dead while 15 % of all packets are lost
  idle        what membership costs a daemon of five while nothing happens
  peers       what membership costs a node with 50 peers
  simulation  5 to 1,000 simulated members: false deaths, detection, traffic, age of load reports

  --pairs N     runs of each kind, taken in turns (default 3; an interval needs 6, a claim of a few per cent 10)
  --rounds N    faults of each kind in detect (default 10)
  --seconds S   length of each measured run (default 5)
  --minutes M   length of calm, and virtual minutes of the longest simulation (default 2; a verdict needs 10)
  --seeds N     simulations of each kind (default 10; a verdict needs 100)
  --members N   leave out simulations of more members (default 1000, which takes long)
  --out FILE    everything that was measured, as JSON
  --plots DIR   pictures of the simulations, as SVG`

const REPETITIONS_MAX = 100
const SECONDS_MAX = 60
const MINUTES_MAX = 120
const SEEDS_MAX = 999
const MEMBERS_MAX = 1_000

/** @throws UsageError; undefined when only help was asked for */
export function parseOptions(argv: readonly string[]): Options | undefined {
  const { values, positionals } = parsed(argv)
  if (values.help) return undefined
  return {
    benches: benchesOf(positionals),
    pairs: whole('pairs', values.pairs, REPETITIONS_MAX),
    rounds: whole('rounds', values.rounds, REPETITIONS_MAX),
    seconds: whole('seconds', values.seconds, SECONDS_MAX),
    minutes: whole('minutes', values.minutes, MINUTES_MAX),
    seeds: whole('seeds', values.seeds, SEEDS_MAX),
    members: whole('members', values.members, MEMBERS_MAX),
    out: values.out,
    plots: values.plots,
  }
}

function parsed(argv: readonly string[]): ReturnType<typeof parseStrictly> {
  try {
    return parseStrictly(argv)
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function parseStrictly(argv: readonly string[]) {
  return parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      pairs: { type: 'string', default: '3' },
      rounds: { type: 'string', default: '10' },
      seconds: { type: 'string', default: '5' },
      minutes: { type: 'string', default: '2' },
      seeds: { type: 'string', default: '10' },
      members: { type: 'string', default: '1000' },
      out: { type: 'string' },
      plots: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
}

function benchesOf(names: readonly string[]): readonly BenchName[] {
  const unknown = names.find((name) => name !== 'all' && !BENCHES.some((bench) => bench === name))
  if (unknown !== undefined) throw new UsageError(`${unknown} is none of ${BENCHES.join(', ')}, all`)
  if (names.length === 0 || names.includes('all')) return BENCHES
  return BENCHES.filter((bench) => names.includes(bench))
}

function whole(option: string, text: string, max: number): number {
  const value = Number(text)
  if (/^\d{1,4}$/.test(text) && value >= 1 && value <= max) return value
  throw new UsageError(`--${option} is ${text}; it must be a whole number from 1 to ${max}`)
}
