/**
 * What a policy sees and what it returns: the words shared by every policy, its slow reference and the node that
 * feeds it. A policy is a pure function (view, settings, seed) → routing table; the paper's "ring of server addresses"
 * (section 3) is still the heart of the answer.
 */

/** A member as this node sees it at one instant. Index is the member's index in the datapath's snapshot. */
export interface PolicyMember {
  /** Index in the snapshot's member array, 0 to 65,534; what rings and Maglev tables contain. */
  index: number
  /** The node's lasting identity; orders members so that two nodes with the same view build the same Maglev table. */
  id: string
  /** Two keyed 32-bit hashes of the id, the same on every node of the cluster: Maglev's offset and skip. */
  hash: readonly [number, number]
  self: boolean
  status: 'alive' | 'suspect' | 'dead' | 'left'
  /** The outcome of its health checks. `refused` is a fact; `failing` (timeout, 5xx) may be the checker's fault. */
  health: 'healthy' | 'failing' | 'refused'
  draining: boolean
  /** Whether packets from here get there, by probe or by configuration. Self is always reachable. */
  reachable: boolean
  /** Relative weight, > 0. */
  capacity: number
  /** Flows at which its operator calls it full (`fullAt` of the flow source), > 0. */
  capacityFlows: number
  /** Utilisation it reported last; 1.0 = full. May exceed 1. */
  load: number
  /** Age of that report on this node's clock, ms. 0 for self. */
  reportAgeMs: number
  /** Flows this node has at that member now, and had when the member's latest report arrived. 0 and 0 for self. */
  myFlows: number
  myFlowsAtReport: number
  /** Time since this node first saw it able to serve (join or recovery), ms; drives slow start. Infinity = long ago. */
  eligibleForMs: number
}

/** Everything a policy may look at. Exactly one member is self. */
export interface PolicyView {
  members: readonly PolicyMember[]
}

export type PolicyName = 'above-average' | 'ring' | 'hash' | 'router' | 'local'

export interface PolicySettings {
  name: PolicyName
  /** Share above the average that is tolerated before redirecting, ≥ 0. */
  tolerance: number
  /** Standard deviations of Poisson noise that are tolerated, ≥ 0. */
  z: number
  /** Load below which nothing is redirected, ≥ 0. */
  minLoad: number
  /** Ramp of a member that joined or recovered, ms; 0 switches it off. */
  slowStartMs: number
  /** Most slots of a ring, 1 to 1,024. */
  ringSlotsMax: number
  /** Slots of a Maglev table, a prime well above 100 × members; 65,537 at most. */
  maglevSlots: number
  /** Reports older than this start to fade to plain capacity weights … */
  reportFreshMs: number
  /** … and are not used at all from this age on. */
  reportStaleMs: number
}

/** The answer: keep new flows here while fewer than `localLimit` are active, else the next slot of the ring. */
export interface RoutingTable {
  /** Active flows; 0 = nothing stays, Infinity = everything stays. A ring that is empty means local as well. */
  localLimit: number
  /**
   * Member indices; may contain self. At most `ringSlotsMax` in smooth weighted round-robin order, rotated by seed; of
   * a stateless table, the Maglev table itself: `maglevSlots` long, the same on every node, not rotated.
   */
  ring: readonly number[]
  /** true: slot = hash(client address, port) mod ring length, and no flow state is consulted. */
  stateless: boolean
  /**
   * Where new flows go when the flow table is under pressure: Maglev over the members that may receive flows from here.
   * Self alone if there are none, and for `local`. Never empty.
   */
  fallback: readonly number[]
}

/**
 * A policy. Never throws for a well-formed view; deterministic in its arguments.
 * @param seed any 32-bit integer, different per node and snapshot version, so that two nodes' rings do not start at
 *   the same member
 */
export type Policy = (view: PolicyView, settings: PolicySettings, seed: number) => RoutingTable
