/**
 * The seam between control plane and datapath: one immutable value that says everything an engine needs to know. The
 * node builds it, an engine switches to it at once and echoes its version. It must survive a structured clone, since
 * engines live in worker threads.
 */

/** How a packet travels to a member. `self`: the local stack. */
export type AddressingMode = 'self' | 'mac' | 'ipip'

export interface SnapshotMember {
  id: string
  /** Grows when the index is given to another member: old flow entries must not follow a reused index. */
  generation: number
  /** May receive new flows from here. */
  eligible: boolean
  /** What happens to packets of flows that already live there. */
  existing: 'forward' | 'hold' | 'reset'
  mode: AddressingMode
  /** Interface towards the common segment (`mac` only), else 0. */
  ifindex: number
  /** 6 bytes; the member's MAC on the common segment (`mac` only), else zeros. */
  mac: Uint8Array
  /** Every MAC by which the member may send to us; a frame from one of them has origin `member`. 6 bytes each. */
  macs: Uint8Array[]
  /** Node address, IPv4 as an unsigned 32-bit number in host order. */
  address: number
  /** Largest IP packet on the wire towards the member, bytes, outer header included. */
  mtu: number
}

export interface SnapshotAddress {
  /** Published address, IPv4 as an unsigned number. */
  address: number
  role: 'announcer' | 'former' | 'other'
  /** The new announcer's member index, when role is `former`. */
  newAnnouncer?: number
  /** What a packet from the middle of an unknown TCP connection meets. */
  orphans: { do: 'hold' } | { do: 'ask' } | { do: 'previous'; member: number } | { do: 'local' }
}

export interface SnapshotService {
  protocol: 6 | 17
  port: number
  /** Index into `tables`. */
  table: number
}

export interface SnapshotTable {
  /** Active flows; 0 = nothing stays here, Infinity = everything does. */
  localLimit: number
  /** Member indices; self's own index means local. */
  ring: Uint16Array
  stateless: boolean
  /** Maglev table of member indices for new flows under table pressure. */
  fallback: Uint16Array
}

export interface Snapshot {
  version: number
  /** Index of this host in `members`. */
  self: number
  /** `undefined` for an index that nobody holds now. */
  members: (SnapshotMember | undefined)[]
  addresses: SnapshotAddress[]
  /** Services hold on every published address. */
  services: SnapshotService[]
  tables: SnapshotTable[]
  /** CLOCK_BOOTTIME, ms. Past it the control plane is dead or stuck: new flows stay local, no RST, no ARP. */
  leaseUntilMs: number
}
