/**
 * What a simulation is, as plain data, checked once. Times are milliseconds of virtual time.
 */
import type { GossipConfig } from '../../gossip/config.ts'
import type { PolicyName } from '../../policy/types.ts'
import { LabError } from '../errors.ts'
import { POLICY_NAMES } from '../spec.ts'
import type { Weather } from './conditions.ts'
import type { NetworkModel } from './connection.ts'

/** A member's view costs about a kilobyte for each other member. */
export const MEMBERS_MAX = 5_000
/** From here on some things are done more coarsely: how routing tables are made, how members meet. Reports say so. */
export const LARGE_MEMBERS = 500
const DURATION_MS = [1_000, 3_600_000] as const
const LATENCY_MS = [0, 10_000] as const
const STALL_MS = [0, 600_000] as const
const STALL_EVERY_MS = [1, 3_600_000] as const

export const ARRIVALS = ['uniform', 'skewed', 'one', 'none'] as const
export const MODELS = ['streams', 'datagrams'] as const satisfies readonly NetworkModel[]

/** Where flows arrive: everywhere alike, by Zipf's law, all at one member, or nowhere (membership alone). */
export type Arrivals = (typeof ARRIVALS)[number]

export interface SimulationSpec {
  readonly members: number
  /** After the cluster has formed. */
  readonly durationMs: number
  readonly seed: number
  readonly network: NetworkModel
  /** One way, the least; queues add half as much on average. */
  readonly latencyMs: number
  /** Share of packets lost, 0 to 1. */
  readonly loss: number
  /** Anything else about the network. */
  readonly weather: Readonly<Partial<Weather>>
  readonly arrivals: Arrivals
  /** Each is a simulation of its own, with the same arrivals and the same network. */
  readonly policies: readonly PolicyName[]
  /** Daemons killed together after a quarter of the time. */
  readonly kill: number
  /** Hosts that lose power together after half of the time. */
  readonly crash: number
  /** Every `stallEveryMs` one member stands still for `stallMs`; 0: nobody does. */
  readonly stallMs: number
  readonly stallEveryMs: number
  readonly config: Readonly<Partial<GossipConfig>>
}

export const DEFAULT_SPEC: SimulationSpec = Object.freeze({
  members: 100,
  durationMs: 60_000,
  seed: 1,
  network: 'streams',
  latencyMs: 0.2,
  loss: 0,
  weather: {},
  arrivals: 'uniform',
  policies: ['above-average'] as const,
  kill: 0,
  crash: 0,
  stallMs: 0,
  stallEveryMs: 2_000,
  config: {},
})

/**
 * Completes and checks a simulation's description.
 * @throws LabError E_LAB_SPEC that names the option
 */
export function simulationSpec(options: Partial<SimulationSpec> = {}): SimulationSpec {
  const spec = { ...DEFAULT_SPEC, ...options }
  whole('members', spec.members, 2, MEMBERS_MAX)
  within('duration', spec.durationMs, DURATION_MS, 'ms')
  whole('seed', spec.seed, 0, 2 ** 32 - 1)
  within('latency', spec.latencyMs, LATENCY_MS, 'ms')
  if (!(spec.loss >= 0 && spec.loss < 1)) throw invalid('loss', spec.loss, 'a share of at least 0 and below 1')
  whole('kill', spec.kill, 0, spec.members - 1)
  whole('crash', spec.crash, 0, spec.members - 1)
  if (spec.kill + spec.crash >= spec.members) {
    throw invalid('kill', `${spec.kill} and crash ${spec.crash}`, `so that somebody of ${spec.members} is left`)
  }
  within('stall', spec.stallMs, STALL_MS, 'ms')
  within('stall-every', spec.stallEveryMs, STALL_EVERY_MS, 'ms')
  oneOf('network', spec.network, MODELS)
  oneOf('arrivals', spec.arrivals, ARRIVALS)
  if (spec.policies.length === 0) throw invalid('policy', 'empty', `one or more of ${POLICY_NAMES.join(', ')}`)
  for (const policy of spec.policies) oneOf('policy', policy, POLICY_NAMES)
  return Object.freeze({ ...spec, policies: [...new Set(spec.policies)] })
}

function whole(option: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw invalid(option, value, `a whole number from ${least} to ${most}`)
  }
}

function within(option: string, value: number, [least, most]: readonly [number, number], unit: string): void {
  if (!(value >= least && value <= most)) {
    throw invalid(option, `${value} ${unit}`, `from ${least} to ${most} ${unit}`)
  }
}

function oneOf(option: string, value: string, choices: readonly string[]): void {
  if (!choices.includes(value)) throw invalid(option, value, `one of ${choices.join(', ')}`)
}

function invalid(option: string, value: string | number, right: string): LabError {
  return new LabError('E_LAB_SPEC', `${option} is ${value}; it must be ${right}`, 'correct the option')
}
