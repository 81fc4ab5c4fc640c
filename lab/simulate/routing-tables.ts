/**
 * Each simulated host's routing table, made by the real policy from what that host knows at the moment: its gossip's
 * view, the age of every report, the flows it has sent there. A table is made when a flow needs one, so that hosts
 * without arrivals cost nothing, and not more often than the pace says.
 */
import { DEFAULTS } from '../../node/defaults.ts'
import { MemberHistory } from '../../node/member-history.ts'
import { policies } from '../../policy/policies.ts'
import type { PolicyMember, PolicyName, PolicySettings, RoutingTable } from '../../policy/types.ts'
import type { SimulatedCluster } from './cluster.ts'
import { hash32, randomStream } from './random.ts'
import type { Random } from './random.ts'
import { LARGE_MEMBERS } from './spec.ts'

/** When a table is made anew. */
export interface TablePace {
  /** At most this often, ms. */
  everyMs: number
  /** Not before so many flows have used it … */
  flows: number
  /** … or it is this old, ms. */
  atMostMs: number
}

/** As the daemon does it: with every sample of its own load. */
const PACE: TablePace = { everyMs: 100, flows: 0, atMostMs: 100 }
/** A view of a thousand members takes milliseconds to turn into a table, and there are a thousand hosts. */
const PACE_LARGE: TablePace = { everyMs: 500, flows: 256, atMostMs: 10_000 }

/** A prime, as small as can be: the fallback table plays no part here. */
const UNUSED_MAGLEV_SLOTS = 101

export function paceFor(members: number): TablePace {
  return members < LARGE_MEMBERS ? PACE : PACE_LARGE
}

interface HostTable {
  table: RoutingTable
  madeAtMs: number
  /** Of the view, when that was looked at last. */
  version: number
  /** Flows that have used it. */
  uses: number
  /** Of the ring; the engine's, it survives a new ring. */
  cursor: number
  /** Flows redirected from here that still last, by destination. */
  readonly placed: Map<number, number>
  readonly history: MemberHistory
  readonly startedMs: number
}

export class RoutingTables {
  readonly #cluster: SimulatedCluster
  readonly #policy: PolicyName
  readonly #settings: PolicySettings
  readonly #pace: TablePace
  readonly #random: Random
  readonly #hosts = new Map<number, HostTable>()
  /**
   * How one host sees the members at one moment, by number. Filled anew for each table: no policy keeps what it was
   * shown, and a hundred thousand such objects a second would keep the collector busier than everything else.
   */
  readonly #sights: readonly PolicyMember[]
  /** The same in the order in which policies look at them. */
  readonly #byId: readonly PolicyMember[]

  constructor(cluster: SimulatedCluster, policy: PolicyName) {
    this.#cluster = cluster
    this.#policy = policy
    this.#settings = settingsFor(policy, cluster.size)
    this.#pace = paceFor(cluster.size)
    this.#random = randomStream(cluster.seed, 'rings')
    this.#sights = Array.from({ length: cluster.size }, (_, member) => unseen(member, cluster.idOf(member)))
    this.#byId = this.#sights.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  }

  /** The table that a new flow at this host meets. */
  of(host: number, ownLoad: number): RoutingTable {
    const nowMs = this.#cluster.nowMs
    const known = this.#known(host, nowMs)
    const ageMs = nowMs - known.madeAtMs
    const { everyMs, flows, atMostMs } = this.#pace
    const isDue = ageMs >= atMostMs || (ageMs >= everyMs && known.uses >= flows)
    if (isDue && !this.#wouldBeTheSame(host, known)) {
      known.table = this.#make(host, known, ownLoad, nowMs)
      known.madeAtMs = nowMs
      known.uses = 0
    }
    known.uses++
    return known.table
  }

  /** The next slot of the host's ring; slots of members that it no longer sees alive are passed over. */
  nextSlot(host: number): number {
    const known = this.#hosts.get(host)!
    const { ring } = known.table
    let slot = host
    for (let tries = 0; tries < ring.length; tries++) {
      slot = ring[known.cursor++ % ring.length]!
      if (slot === host || this.#cluster.seen(host, slot) === 'alive') break
    }
    return slot
  }

  placed(host: number, destination: number, change: 1 | -1): void {
    const { placed } = this.#known(host, this.#cluster.nowMs)
    placed.set(destination, (placed.get(destination) ?? 0) + change)
  }

  /** Its daemon is gone, and with it what it knew. */
  forget(host: number): void {
    this.#hosts.delete(host)
  }

  #known(host: number, nowMs: number): HostTable {
    let known = this.#hosts.get(host)
    if (known === undefined) {
      known = {
        table: { localLimit: Infinity, ring: [], stateless: false, fallback: [] },
        madeAtMs: -Infinity,
        version: -1,
        uses: 0,
        cursor: 0,
        placed: new Map(),
        history: new MemberHistory(nowMs, DEFAULTS.slowStartMs),
        startedMs: nowMs,
      }
      this.#hosts.set(host, known)
    }
    return known
  }

  /** What a stateless table holds follows from who is a member in which status alone; it is costly to make. */
  #wouldBeTheSame(host: number, known: HostTable): boolean {
    const { version } = this.#cluster.peer(host).core
    const same = known.table.stateless && version === known.version
    known.version = version
    return same
  }

  #make(host: number, known: HostTable, ownLoad: number, nowMs: number): RoutingTable {
    const members = this.#policyMembers(host, known, ownLoad, nowMs)
    return policies[this.#policy]({ members }, this.#settings, Math.floor(this.#random() * 2 ** 32))
  }

  #policyMembers(host: number, known: HostTable, ownLoad: number, nowMs: number): PolicyMember[] {
    const justStarted = nowMs - known.startedMs < DEFAULTS.slowStartMs
    // Below the limit, as the daemon does it; above, only members that have had flows from here are remembered.
    const everybody = this.#cluster.size < LARGE_MEMBERS
    const seen = new Uint8Array(this.#cluster.size)
    this.#cluster.eachMember(host, (member) => {
      const { facts, report, status, statusSinceMs, self } = member
      const index = this.#cluster.numberOf(facts.id)
      if (index === undefined) return
      const able = status === 'alive' && !facts.draining
      const flows = known.placed.get(index)
      const remembered = everybody || flows !== undefined
      const before = remembered ? known.history.observe(member, able, flows ?? 0, nowMs) : undefined
      const sight = this.#sights[index]!
      seen[index] = 1
      sight.self = self
      sight.status = status
      sight.draining = facts.draining
      sight.capacity = facts.capacity
      sight.capacityFlows = facts.capacityFlows
      sight.load = self ? ownLoad : report.load
      sight.reportAgeMs = self ? 0 : report.ageMs
      sight.myFlows = self ? 0 : (flows ?? 0)
      sight.myFlowsAtReport = self ? 0 : (before?.flowsAtReport ?? 0)
      sight.eligibleForMs = able ? (justStarted ? Infinity : nowMs - statusSinceMs) : 0
    })
    return this.#byId.filter(({ index }) => seen[index] === 1)
  }
}

function unseen(index: number, id: string): PolicyMember {
  return {
    index,
    id,
    hash: [hash32(id, 1), hash32(id, 2)],
    self: false,
    status: 'dead',
    health: 'healthy',
    draining: false,
    reachable: true,
    capacity: 1,
    capacityFlows: 1,
    load: 0,
    reportAgeMs: 0,
    myFlows: 0,
    myFlowsAtReport: 0,
    eligibleForMs: 0,
  }
}

/** The defaults; `hash` alone lives by its Maglev table and gets one of full size. */
function settingsFor(name: PolicyName, members: number): PolicySettings {
  const { tolerance, z, minLoad, slowStartMs, ringSlotsMax, maglevSlots, reportFreshMs, reportStaleMs } = DEFAULTS
  const wanted = maglevSlots.find((slots) => slots >= 100 * members) ?? maglevSlots.at(-1)!
  return {
    name,
    tolerance,
    z,
    minLoad,
    slowStartMs,
    ringSlotsMax,
    maglevSlots: name === 'hash' ? wanted : UNUSED_MAGLEV_SLOTS,
    reportFreshMs,
    reportStaleMs,
  }
}
