/**
 * What the control socket answers. HTTP over a Unix socket; scripts may rely on these names (more may be added).
 */
import type { DeadReason, MemberStatus } from '../gossip/types.ts'

/** `GET /v1/peers`: an array of these, self included. */
export interface PeerJson {
  name: string
  id: string
  status: MemberStatus
  /** Only while dead. */
  deadReason?: DeadReason
  /** Node address. */
  address: string
  load: number
  draining: boolean
  healthy: boolean
  self: boolean
  segments: string[]
  homes: string[]
  announces: { address: string; epoch: number }[]
  /** How flows get there from here; null for a member that gets none. */
  mode: 'self' | 'mac' | 'ipip' | null
  /** May receive new flows from here. */
  eligible: boolean
  /** Flows of this node that live there now. */
  flows: number
  reportAgeMs: number
}

/** One cluster key, by the first 8 hexadecimal digits of the SHA-256 of its 32 bytes. */
export interface KeyJson {
  fingerprint: string
  /** Connections that use it now. */
  links: number
}

/** `GET /v1/status`. Counters are new flows, except `dropped`, which is packets. */
export interface StatusJson {
  name: string
  id: string
  policy: string
  datapath: string
  /** Published addresses announced here. */
  announces: string[]
  homes: string[]
  load: number
  clusterLoad: number
  activeFlows: number
  localLimit: number | null
  snapshotVersion: number
  steering: 'on' | 'open'
  /** This node was stalled and doubts what it believes: nothing is announced, new flows stay here. */
  unsure: boolean
  /** Since the last exchange with any member; null if there was none. */
  lastExchangeAgeMs: number | null
  /** How many members are what, this node included. */
  members: Record<MemberStatus, number>
  /** The cluster keys that are accepted, the one that is dialled with first. */
  keys: KeyJson[]
  /** Fingerprint of the cluster key from which this process derived the key of its hashes, at its start. */
  hashKey: string
  /** Ids that may join; null: whoever has a key. */
  allowed: number | null
  uptimeMs: number
  pid: number
  version: string
  counters: { local: number; redirected: number; received: number; dropped: number }
  packets: { local: number; mac: number; ipip: number; decapsulated: number; held: number }
  /** Dropped packets by reason. */
  drops: Record<string, number>
  /** What else the engine did, by name: orphans, ICMP sent, table pressure, ARP. */
  events: Record<string, number>
  warnings: string[]
}
