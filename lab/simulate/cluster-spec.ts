/** What a simulated cluster is made of, as plain data, and what holds where nothing is said. */
import { lanConfig } from '../../gossip/config.ts'
import type { GossipConfig } from '../../gossip/config.ts'
import type { OwnFacts } from '../../gossip/types.ts'
import type { Sites, Weather } from './conditions.ts'
import type { NetworkModel } from './connection.ts'

export interface ClusterSpec {
  seed: number
  members: number
  /** Default: streams, a local network without loss. */
  network?: Partial<Weather> & { model?: NetworkModel }
  /** Hosts in several places. Default: all in one. */
  sites?: Sites
  /** Over the preset for local networks. */
  config?: Partial<GossipConfig>
  /** Facts of single members. */
  facts?: (member: number) => Partial<OwnFacts>
  /** Members whose addresses everybody is given; default: the first three. */
  seeds?: readonly number[]
  /** Members with different keys are strangers to each other. Default: all have the same. */
  clusterKey?: (member: number) => string
  /** Keep every event; default: up to 100 members. */
  recordEvents?: boolean
}

/** A local network: 0.2 ms one way and a few tenths of queueing. */
const WEATHER: Weather = { latencyMs: 0.2, jitterMs: 0.2, loss: 0, duplicates: 0, reordered: 0, reorderMs: 0 }
/** What a datagram network does besides losing, unless told otherwise. */
const DATAGRAMS: Partial<Weather> = { duplicates: 0.005, reordered: 0.02, reorderMs: 20 }
const SEEDS = 3

export function modelFor({ network }: ClusterSpec): NetworkModel {
  return network?.model ?? 'streams'
}

export function weatherFor(spec: ClusterSpec): Weather {
  const { model: _, ...weather } = spec.network ?? {}
  return { ...WEATHER, ...(modelFor(spec) === 'datagrams' ? DATAGRAMS : {}), ...weather }
}

export function seedsFor({ seeds, members }: ClusterSpec): readonly number[] {
  return seeds ?? Array.from({ length: Math.min(SEEDS, members) }, (_, member) => member)
}

/** The preset's bounds hold for a cluster of some hundred; larger ones are simulated with as much as they need. */
export function configFor({ members, config }: ClusterSpec): Readonly<GossipConfig> {
  const { membersMax } = lanConfig()
  return lanConfig({ ...(members > membersMax ? { membersMax: members } : {}), ...config })
}
