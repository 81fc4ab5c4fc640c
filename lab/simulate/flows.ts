/**
 * Clients of the simulated cluster: flows arrive, last, and end; each host decides with the real policy, from its own
 * view of the others, where a new one goes; loads follow from that and are gossiped. No packets.
 *
 * Arrivals are a Poisson process and durations bounded Pareto, from a random stream of their own: every policy meets
 * the same flows. A host that has lost power gets none (another one announces its address); its flows are lost. A host
 * whose daemon was killed keeps what arrives there: its steering is open.
 */
import type { PolicyName, RoutingTable } from '../../policy/types.ts'
import type { SimulatedCluster } from './cluster.ts'
import { RoutingTables } from './routing-tables.ts'
import { boundedPareto, boundedParetoMean, exponential, randomStream, shuffle, zipfShares } from './random.ts'
import type { Random } from './random.ts'
import type { Arrivals } from './spec.ts'

/** Flows at which a host is full, … */
export const CAPACITY_FLOWS = 400
/** … and how full the cluster is on average. */
export const MEAN_LOAD = 0.25
/** Most flows are short; the mean is 7 s. Where more of them are long, balancing is easier. */
const DURATION = { shape: 1.5, shortestMs: 3_000, longestMs: 60_000 } as const
/** Of skewed arrivals: the first of n hosts gets n times what the last one gets. */
const ZIPF_EXPONENT = 1
/** Loads are sampled as often as a report may change. */
const LOAD_SAMPLE_MS = 200
/** Flows that end within one such time end together: one event instead of many. */
const ENDING_MS = 10

interface Endings {
  /** Four numbers each: rewriter, its life, destination, its life. */
  flows: number[]
}

export interface FlowCounts {
  arrived: number
  redirected: number
  /** Sent to a host without power: nobody had noticed yet. */
  misdirected: number
}

export class Flows {
  readonly counts: FlowCounts = { arrived: 0, redirected: 0, misdirected: 0 }
  readonly #cluster: SimulatedCluster
  readonly #random: Random
  readonly #hashRandom: Random
  readonly #tables: RoutingTables
  /** Upper ends of the hosts' parts of all arrivals. */
  readonly #reach: Float64Array
  readonly #meanGapMs: number
  readonly #active: Int32Array
  /** Grow when a host loses its flows, and when a daemon forgets those it redirected. */
  readonly #hostLives: Int32Array
  readonly #daemonLives: Int32Array
  readonly #off: Uint8Array
  readonly #endings = new Map<number, Endings>()

  constructor(cluster: SimulatedCluster, arrivals: Exclude<Arrivals, 'none'>, policy: PolicyName) {
    this.#cluster = cluster
    this.#random = randomStream(cluster.seed, 'flows')
    this.#hashRandom = randomStream(cluster.seed, 'clients')
    this.#active = new Int32Array(cluster.size)
    this.#hostLives = new Int32Array(cluster.size)
    this.#daemonLives = new Int32Array(cluster.size)
    this.#off = new Uint8Array(cluster.size)
    this.#tables = new RoutingTables(cluster, policy)
    this.#reach = reachOf(sharesOf(arrivals, cluster.size, cluster.seed))
    const meanMs = boundedParetoMean(DURATION.shape, DURATION.shortestMs, DURATION.longestMs)
    this.#meanGapMs = meanMs / (MEAN_LOAD * CAPACITY_FLOWS * cluster.size)
  }

  /** From now on flows arrive and loads are reported. */
  begin(): void {
    const { clock } = this.#cluster
    const phases = randomStream(this.#cluster.seed, 'load samples')
    for (let host = 0; host < this.#cluster.size; host++) {
      clock.at(clock.now() + phases() * LOAD_SAMPLE_MS, () => this.#sampleLoad(host))
    }
    this.#nextArrival()
  }

  /** The daemon was killed: what it had redirected goes on without it. */
  daemonLost(host: number): void {
    this.#daemonLives[host]!++
    this.#tables.forget(host)
  }

  hostLost(host: number): void {
    this.daemonLost(host)
    this.#hostLives[host]!++
    this.#active[host] = 0
    this.#off[host] = 1
  }

  /** Largest and mean number of active flows over the hosts whose daemon runs; all have the same capacity. */
  spread(): { max: number; mean: number } {
    const up = this.#cluster.up()
    let [max, sum] = [0, 0]
    for (const host of up) {
      const active = this.#active[host]!
      max = Math.max(max, active)
      sum += active
    }
    return { max, mean: sum / up.length }
  }

  #sampleLoad(host: number): void {
    const { clock } = this.#cluster
    this.#cluster.setLoad(host, this.#active[host]! / CAPACITY_FLOWS)
    clock.at(clock.now() + LOAD_SAMPLE_MS, () => this.#sampleLoad(host))
  }

  #nextArrival(): void {
    const { clock } = this.#cluster
    clock.at(clock.now() + exponential(this.#random, this.#meanGapMs), () => {
      this.#arrive()
      this.#nextArrival()
    })
  }

  /** The draws are the same for every policy, whatever it decides. */
  #arrive(): void {
    const { clock } = this.#cluster
    const rewriter = this.#announcer(firstAbove(this.#reach, this.#random()))
    const lastsMs = boundedPareto(this.#random, DURATION.shape, DURATION.shortestMs, DURATION.longestMs)
    const client = this.#hashRandom()
    const destination = this.#place(rewriter, client)
    this.counts.arrived++
    if (destination !== rewriter) this.counts.redirected++
    if (this.#off[destination] === 1) {
      this.counts.misdirected++
      return
    }
    this.#active[destination]!++
    if (destination !== rewriter) this.#tables.placed(rewriter, destination, 1)
    const bucket = Math.ceil((clock.now() + lastsMs) / ENDING_MS)
    let endings = this.#endings.get(bucket)
    if (endings === undefined) {
      endings = { flows: [] }
      this.#endings.set(bucket, endings)
      clock.at(bucket * ENDING_MS, () => this.#end(bucket))
    }
    endings.flows.push(rewriter, this.#daemonLives[rewriter]!, destination, this.#hostLives[destination]!)
  }

  /** A host without power announces nothing: the next one does. */
  #announcer(host: number): number {
    let announcer = host
    while (this.#off[announcer] === 1) announcer = (announcer + 1) % this.#cluster.size
    return announcer
  }

  /** The engine's rule: here while fewer than the limit are active, else the next slot of the ring. */
  #place(rewriter: number, client: number): number {
    if (!this.#cluster.isUp(rewriter)) return rewriter
    const load = this.#active[rewriter]! / CAPACITY_FLOWS
    const table: RoutingTable = this.#tables.of(rewriter, load)
    if (this.#active[rewriter]! < table.localLimit || table.ring.length === 0) return rewriter
    if (table.stateless) return table.ring[Math.floor(client * table.ring.length)]!
    return this.#tables.nextSlot(rewriter)
  }

  #end(bucket: number): void {
    const { flows } = this.#endings.get(bucket)!
    this.#endings.delete(bucket)
    for (let i = 0; i < flows.length; i += 4) {
      const [rewriter, daemonLife, destination, hostLife] = [flows[i]!, flows[i + 1]!, flows[i + 2]!, flows[i + 3]!]
      if (this.#hostLives[destination] === hostLife) this.#active[destination]!--
      if (destination !== rewriter && this.#daemonLives[rewriter] === daemonLife) {
        this.#tables.placed(rewriter, destination, -1)
      }
    }
  }
}

function sharesOf(arrivals: Exclude<Arrivals, 'none'>, hosts: number, seed: number): number[] {
  if (arrivals === 'skewed') return shuffle(randomStream(seed, 'arrivals'), zipfShares(hosts, ZIPF_EXPONENT))
  return Array.from({ length: hosts }, (_, host) => (arrivals === 'uniform' ? 1 / hosts : host === 0 ? 1 : 0))
}

function reachOf(shares: readonly number[]): Float64Array {
  let sum = 0
  const reach = Float64Array.from(shares, (share) => (sum += share))
  reach[reach.length - 1] = Infinity
  return reach
}

/** Index of the first value that is greater. */
function firstAbove(ascending: Float64Array, value: number): number {
  let [low, high] = [0, ascending.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if (ascending[middle]! > value) high = middle
    else low = middle + 1
  }
  return low
}
