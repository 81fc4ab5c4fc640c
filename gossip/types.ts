/**
 * The words of membership: the record each node publishes about itself, how others see it, and the seam between
 * gossip and the node that uses it. Design of the protocol: SWIM (Das, Gupta, Motivala 2002) with Lifeguard (Dadgar,
 * Phillips, Currey 2017); records spread by scuttlebutt reconciliation (van Renesse et al. 2008).
 */
import type { PeerCounters } from './peer.ts'

export type MemberStatus = 'alive' | 'suspect' | 'dead' | 'left'

/** Why a member is `dead`: its port refused (the host answers, so only the daemon is gone), or nothing was heard. */
export type DeadReason = 'daemon-only' | 'silent'

/** One interface on one L2 network. A host has one attachment per segment. */
export interface Attachment {
  /** The segment's name; by default the CIDR of the interface's address. */
  segment: string
  /** IPv4, dotted. */
  address: string
  /** Lower case, colons. */
  mac: string
  /** Wire MTU of the interface, bytes. */
  mtu: number
}

export interface Claim {
  /** A published address, IPv4, dotted. */
  address: string
  /** The highest epoch among alive and suspect claimants announces. ≥ 1. */
  epoch: number
}

export interface ServiceRecord {
  protocol: 'tcp' | 'udp'
  port: number
  health: 'healthy' | 'failing' | 'refused'
}

/** The slow part of a member record: changes rarely, signed by the identity it describes. */
export interface MemberFacts {
  id: string
  name: string
  /** Grows whenever the member refutes a suspicion or starts anew. */
  incarnation: number
  /** The host's boot id (/proc/sys/kernel/random/boot_id): another value proves that its sockets are gone. */
  bootId: string
  /** Where gossip reaches it: IPv4 and TCP port. The address is the node address. */
  gossipAddress: string
  gossipPort: number
  attachments: Attachment[]
  /** Published addresses whose home this is. */
  homes: string[]
  announces: Claim[]
  /** Published addresses that this host accepts and steers; nobody may send it flows of others. */
  accepts: string[]
  services: ServiceRecord[]
  draining: boolean
  /** While its daemon restarts on purpose: how long that may take from when this record is heard, ms. Else 0. */
  restartLeaseMs: number
  /** Relative weight, > 0. */
  capacity: number
  /** Flows at which it is full, > 0. */
  capacityFlows: number
  protocol: { min: number; max: number }
  software: string
}

/** The fast part: unsigned, several times a second. A lie here only misdirects. */
export interface LoadReport {
  /** Utilisation; 1.0 = full. */
  load: number
  source: string
  /** Age of the sample when it was sent or, in a view, on the receiver's clock, ms. */
  ageMs: number
}

/** A member in this node's view. */
export interface Member {
  facts: MemberFacts
  report: LoadReport
  status: MemberStatus
  /** Only while `dead`. */
  deadReason?: DeadReason
  self: boolean
  /** Version of the fast part: a new one means a new report has arrived. */
  reportVersion: number
  /** Time on this node's monotonic clock at which the status last changed, ms. */
  statusSinceMs: number
}

export type MembershipEvent =
  | { type: 'joined'; member: Member }
  | { type: 'status'; member: Member; from: MemberStatus }
  | { type: 'facts'; member: Member }
  | { type: 'forgotten'; id: string }
  /** Somebody spoke with another cluster key, or garbage, or is not on the allow-list; once a minute per address. */
  | { type: 'stranger'; address: string; reason: string }
  /**
   * Another node uses this node's identity, a copied state directory say; once a minute. Neither can be a member while
   * the other lives: the one that is not meant to should end.
   */
  | { type: 'twin'; address: string }

/** What the owner may say about itself; gossip adds id, incarnation, protocol and software. */
export type OwnFacts = Omit<MemberFacts, 'id' | 'incarnation' | 'protocol' | 'software'>

/**
 * The seam used by node/. Implemented over libp2p (shell.ts); a plain in-memory fake serves the node's tests.
 * All methods may be called at any time between start and stop.
 */
export interface Membership {
  /** This node's identity (libp2p peer id, base58). */
  readonly id: string
  /** Listens and starts to dial the seeds. Rejects with GossipError `E_GOSSIP_PORT_IN_USE` and the like. */
  start(): Promise<void>
  /** `leave` tells the others first (bounded, 1 s), so that they see `left` instead of `dead`. */
  stop(leave: boolean): Promise<void>
  /** This node's view, self included, ordered by name then id. Fresh objects: the caller may keep them. */
  members(): Member[]
  /** Replaces what this node says about itself; a new version is gossiped with the next round. */
  setFacts(facts: OwnFacts): void
  /** Replaces this node's load report. */
  setLoad(report: LoadReport): void
  /** Calls back on every event; returns a function that ends it. Listeners must not throw. */
  onEvent(listener: (event: MembershipEvent) => void): () => void
  /** Time since the last successful exchange with any peer, ms; Infinity if none yet. */
  lastExchangeAgeMs(): number
  /**
   * True from an own stall (scheduler, suspend) of more than half the minimum suspicion until an exchange has succeeded
   * or 2 s found nobody: what this node believes is old. No ARP, claim, RST or accusation meanwhile; new flows stay.
   */
  isUnsure(): boolean
  /** Grows with every change of who is a member, of any status and of any facts; load reports do not count. */
  version(): number
  /**
   * Contents of the cluster key files that count from now on; the first is dialled with, all are accepted. Links made
   * with a key that is gone are replaced and then ended, within 4 s. Throws GossipError E_GOSSIP_CLUSTER_KEY.
   */
  setKeys(keys: readonly Uint8Array[]): void
  /**
   * Peer ids that may be members, this node's own apart; undefined: whoever has the key. Links to others end at once,
   * and what is said about others is not believed.
   */
  setAllowList(ids: readonly string[] | undefined): void
  /** Open connections by the key they were made with, in the order of the keys: how far a change of keys has come. */
  linksByKey(): number[]
  /** Somebody may be at `a.b.c.d:port`: mDNS said so. Dialled until it has proved useless. */
  discovered(address: string): void
  /** Where the other members are, dead ones included, but not those that left: to be kept for the next start. */
  addresses(): { id: string; address: string }[]
  /** For metrics: counters since the start and gauges, by name. */
  counters(): PeerCounters
}
