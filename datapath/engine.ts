/**
 * The engine seam: an implementation of the datapath. The node publishes snapshots and leases downward and reads
 * counters and flows upward; nothing else connects the two. One compliance suite runs on every engine.
 */
import type { Snapshot } from './snapshot.ts'

/** Counters of an engine since it was opened. Names are stable: they become metrics. */
export interface EngineCounters {
  /** New flows of clients that stayed here (first SYN of a 5-tuple and sequence number). */
  flowsLocal: number
  /** New flows of clients that were sent to a peer. */
  flowsRedirected: number
  /** New flows that arrived from members. */
  flowsReceived: number
  packetsLocal: number
  packetsMac: number
  packetsIpip: number
  packetsDecapsulated: number
  /** Sum of all reasons in `drops`. */
  packetsDropped: number
  packetsHeld: number
  /** By reason, packets. Every reason is always present. */
  drops: Record<string, number>
  /** What else happened, by name: orphans, ICMP sent, table pressure, ARP. Every name is always present. */
  events: Record<string, number>
}

export interface EngineState {
  /** Version of the snapshot in force; 0 before the first. */
  snapshotVersion: number
  /** Established local flows plus young half-open ones: what `localLimit` is compared with. */
  activeFlows: number
  /** Flow entries in the table, of all kinds. */
  flowEntries: number
  /** Flows this host has at each member, by snapshot member index. Not a copy: it goes on changing. */
  flowsByMember: Uint32Array
  /** When the engine's loop last came round, CLOCK_BOOTTIME ms: an old value means that it hangs. */
  heartbeatMs: number
  /** Those of the moment in which they are asked for. */
  readonly counters: EngineCounters
}

/** A flow as it is shown and handed over. Addresses as unsigned numbers. */
export interface FlowEntry {
  protocol: 6 | 17
  clientAddress: number
  clientPort: number
  publishedAddress: number
  publishedPort: number
  /** Member index; self's index for a flow that ends here. */
  destination: number
  state: 'half-open' | 'established' | 'fin' | 'rst'
}

export interface Engine {
  readonly kind: 'tun' | 'bpf'
  /**
   * Creates devices, sockets and the worker. Nothing is steered yet.
   * @throws DatapathError with a stable code; what was created is undone.
   */
  open(): Promise<void>
  /** Ends the worker and removes the device. Idempotent. The caller has removed the steering before. */
  close(): Promise<void>
  /** Switches to a snapshot at once. Versions must grow. */
  publish(snapshot: Snapshot): void
  /** Extends the lease of the snapshot in force: CLOCK_BOOTTIME, ms. */
  renewLease(untilMs: number): void
  /** The kernel's own count of established flows that end here; corrects what the flow table believes. */
  correctLocalEstablished(count: number): void
  /** Cheap: reads shared memory, no round trip. */
  state(): EngineState
  /** Every flow entry, at most `limit`. */
  exportFlows(limit: number): Promise<FlowEntry[]>
  /** Adds or replaces entries; returns how many were taken. */
  importFlows(flows: FlowEntry[]): Promise<number>
  /** Calls back once if the worker ends by itself; the steering must be opened then. */
  onFailure(listener: (error: Error) => void): void
}
