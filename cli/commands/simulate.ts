/** `dpr simulate`: a cluster of any size in virtual time, and what came of it. */
import { accessSync, constants, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { Command, Flags } from '@oclif/core'
import type { SimulationSpec } from '../../lab/simulate/spec.ts'
import { NodeError } from '../../node/errors.ts'
import { milliseconds, namesOf, share, wholeNumber } from '../quantities.ts'

const NETWORKS = ['streams', 'datagrams'] as const satisfies readonly SimulationSpec['network'][]
const POLICIES = ['above-average', 'ring', 'hash', 'router', 'local'] as const satisfies SimulationSpec['policies']
const ARRIVALS = ['uniform', 'skewed', 'one', 'none'] as const satisfies readonly SimulationSpec['arrivals'][]

export default class Simulate extends Command {
  static override summary = 'Simulate a cluster of any size in virtual time.'
  static override description =
    "Runs the daemon's own membership and policies over a simulated network: nothing of this machine or any other is " +
    'touched. The cluster forms; then flows arrive and members stall and die as told, and a report follows: how fast ' +
    'deaths are noticed, how many of the living are taken for dead, what gossip costs, how old load reports are, how ' +
    'well each policy balances. The same options print the same bytes. No root needed.'
  static override examples = [
    '<%= config.bin %> simulate --members 1000 --arrivals skewed --loss 2% --kill 10 --seed 7',
    '<%= config.bin %> simulate --members 50 --stall 500ms --stall-every 2s --arrivals none',
    '<%= config.bin %> simulate --arrivals one --policy all --plot policies.svg',
  ]
  static override flags = {
    members: Flags.string({ summary: 'members of the cluster', helpValue: 'NUMBER', default: '100' }),
    duration: Flags.string({ summary: 'virtual time after the cluster has formed', helpValue: 'TIME', default: '60s' }),
    seed: Flags.string({ summary: 'everything random follows from it', helpValue: 'NUMBER', default: '1' }),
    network: Flags.option({ options: NETWORKS })({
      summary: 'streams: as TCP, a loss is a delay. datagrams: lost, doubled, overtaken',
      default: 'streams',
    }),
    latency: Flags.string({
      summary: 'one way, at least; queues add half as much on average',
      helpValue: 'TIME',
      default: '0.2ms',
    }),
    loss: Flags.string({ summary: 'share of packets lost', helpValue: 'SHARE', default: '0%' }),
    arrivals: Flags.option({ options: ARRIVALS })({
      summary: "where flows arrive: everywhere alike, by Zipf's law, all at one host, nowhere",
      default: 'uniform',
    }),
    policy: Flags.string({
      summary: 'one or more policies, each with a simulation of its own, or all',
      helpValue: 'NAME,…|all',
      default: 'above-average',
    }),
    kill: Flags.string({
      summary: 'daemons killed together after a quarter of the time',
      helpValue: 'NUMBER',
      default: '0',
    }),
    crash: Flags.string({
      summary: 'hosts that lose power together after half of it',
      helpValue: 'NUMBER',
      default: '0',
    }),
    stall: Flags.string({ summary: 'how long a member stands still', helpValue: 'TIME', default: '0ms' }),
    'stall-every': Flags.string({ summary: 'how often one does', helpValue: 'TIME', default: '2s' }),
    plot: Flags.string({ summary: 'write pictures into this SVG file', helpValue: 'FILE' }),
    json: Flags.boolean({ summary: 'print the report as JSON, with all series' }),
  }

  override async run(): Promise<void> {
    const { flags } = await this.parse(Simulate)
    const options: Partial<SimulationSpec> = {
      members: wholeNumber('members', flags.members),
      durationMs: milliseconds('duration', flags.duration),
      seed: wholeNumber('seed', flags.seed),
      network: flags.network,
      latencyMs: milliseconds('latency', flags.latency),
      loss: share('loss', flags.loss),
      arrivals: flags.arrivals,
      policies: namesOf('policy', flags.policy, POLICIES),
      kill: wholeNumber('kill', flags.kill),
      crash: wholeNumber('crash', flags.crash),
      stallMs: milliseconds('stall', flags.stall),
      stallEveryMs: milliseconds('stall-every', flags['stall-every']),
    }
    const spec = await checked(options)
    if (flags.plot !== undefined) checkWritable(flags.plot)
    const { writeFileAtomic } = await import('../../node/atomic-file.ts')
    const { simulate } = await import('../../lab/simulate/simulate.ts')
    const { renderSimulation } = await import('../render-simulation.ts')

    const startMs = performance.now()
    const report = await simulate(spec, (done) => this.#progress(done))
    this.#progress(1)
    this.log(flags.json ? JSON.stringify(report) : renderSimulation(report))
    if (flags.plot !== undefined) {
      const { plot } = await import('../../lab/simulate/plot.ts')
      writeFileAtomic(flags.plot, plot(report), { mode: 0o644 })
    }
    // Not part of the report: it is different every time.
    this.logToStderr(`took ${((performance.now() - startMs) / 1_000).toFixed(1)} s`)
  }

  #progress(done: number): void {
    if (!process.stderr.isTTY) return
    process.stderr.write(done < 1 ? `\r${Math.floor(done * 100)} %` : '\r     \r')
  }
}

/** Fails before the minutes of simulating, not after them. */
function checkWritable(file: string): void {
  try {
    accessSync(dirname(file), constants.W_OK)
    if (statSync(file, { throwIfNoEntry: false })?.isDirectory() === true) throw new Error('it is a directory')
  } catch (cause) {
    throw new NodeError('E_FILE_UNWRITABLE', `cannot write the plot ${file}`, { cause })
  }
}

/** What is wrong with a simulation is wrong with the flag of that name. */
async function checked(options: Partial<SimulationSpec>): Promise<SimulationSpec> {
  const { simulationSpec } = await import('../../lab/simulate/spec.ts')
  const { LabError } = await import('../../lab/errors.ts')
  try {
    return simulationSpec(options)
  } catch (error) {
    if (!(error instanceof LabError)) throw error
    const [what, right] = error.message.split('; ')
    throw new NodeError('E_USAGE', `--${what}`, { remedy: right ?? error.remedy, cause: error })
  }
}
