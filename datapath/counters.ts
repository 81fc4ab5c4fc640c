/**
 * Where engines count. One Float64Array in shared memory: the packet loop adds, the control plane reads, no message
 * passes. Doubles are exact up to 2^53 packets.
 */
import type { EngineCounters, EngineState } from './engine.ts'

/** Reasons for which a packet is dropped. Order is the layout; names become metrics, so append only. */
export const DROP_REASONS = [
  'frame-short',
  'not-ipv4',
  'ip-truncated',
  'ip-header-length',
  'ip-total-length',
  'ip-checksum',
  'ip-source',
  'ip-ttl',
  'tcp-truncated',
  'tcp-header-length',
  'tcp-flags',
  'tcp-checksum',
  'fragment-early',
  'fragment-overlap',
  'ipip-stranger',
  'ipip-fragment',
  'ipip-inner-destination',
  'ipip-inner-source',
  'ipip-inner-protocol',
  'ipip-ecn',
  'icmp-truncated',
  'destination-gone',
  'mtu-exceeded',
  'send-queue-full',
  'send-failed',
  'local-write-failed',
  'vnet-header',
  'device-queue-full',
  'loop',
] as const
export type DropReason = (typeof DROP_REASONS)[number]

const COUNTER_NAMES = [
  'snapshotVersion',
  'activeFlows',
  'flowEntries',
  'flowsLocal',
  'flowsRedirected',
  'flowsReceived',
  'packetsLocal',
  'packetsMac',
  'packetsIpip',
  'packetsDecapsulated',
  'packetsHeld',
  'orphansLocal',
  'orphansHeld',
  'icmpSent',
  'tablePressure',
  'halfOpenEvicted',
  'leaseExpired',
  'leaseUntilMs',
  'arpAnswers',
  'arpAnnouncements',
  'arpConflicts',
  'batches',
  'heartbeatMs',
] as const
export type CounterName = (typeof COUNTER_NAMES)[number]

/** Index of each counter in the shared array. */
export const COUNTER: Readonly<Record<CounterName, number>> = Object.freeze(
  Object.fromEntries(COUNTER_NAMES.map((name, index) => [name, index])) as Record<CounterName, number>,
)
/** Index of a drop reason in the shared array. */
export const DROP: Readonly<Record<DropReason, number>> = Object.freeze(
  Object.fromEntries(DROP_REASONS.map((name, index) => [name, COUNTER_NAMES.length + index])) as Record<
    DropReason,
    number
  >,
)

/** Most members that a snapshot can hold: "a few hundred hosts", with room. */
export const MEMBERS_MAX = 1_024

/** Shared memory of one engine. */
export interface SharedCounters {
  values: Float64Array
  flowsByMember: Uint32Array
}

const VALUES_BYTES = (COUNTER_NAMES.length + DROP_REASONS.length) * 8

export function sharedCountersBuffer(): SharedArrayBuffer {
  return new SharedArrayBuffer(VALUES_BYTES + MEMBERS_MAX * 4)
}

export function sharedCounters(buffer: SharedArrayBuffer): SharedCounters {
  return {
    values: new Float64Array(buffer, 0, VALUES_BYTES / 8),
    flowsByMember: new Uint32Array(buffer, VALUES_BYTES, MEMBERS_MAX),
  }
}

/** The same counters in an engine's public form. It is asked for ten times a second, mostly for the first few. */
export function readEngineState({ values, flowsByMember }: SharedCounters): EngineState {
  return {
    snapshotVersion: values[COUNTER.snapshotVersion]!,
    activeFlows: values[COUNTER.activeFlows]!,
    flowEntries: values[COUNTER.flowEntries]!,
    flowsByMember,
    heartbeatMs: values[COUNTER.heartbeatMs]!,
    get counters() {
      return readEngineCounters(values)
    },
  }
}

function readEngineCounters(values: Float64Array): EngineCounters {
  const at = (name: CounterName): number => values[COUNTER[name]]!
  const drops = Object.fromEntries(DROP_REASONS.map((reason) => [reason, values[DROP[reason]]!]))
  return {
    flowsLocal: at('flowsLocal'),
    flowsRedirected: at('flowsRedirected'),
    flowsReceived: at('flowsReceived'),
    packetsLocal: at('packetsLocal'),
    packetsMac: at('packetsMac'),
    packetsIpip: at('packetsIpip'),
    packetsDecapsulated: at('packetsDecapsulated'),
    packetsDropped: Object.values(drops).reduce((sum, count) => sum + count, 0),
    packetsHeld: at('packetsHeld'),
    drops,
    events: {
      orphansLocal: at('orphansLocal'),
      orphansHeld: at('orphansHeld'),
      icmpSent: at('icmpSent'),
      tablePressure: at('tablePressure'),
      halfOpenEvicted: at('halfOpenEvicted'),
      leaseExpired: at('leaseExpired'),
      arpAnswers: at('arpAnswers'),
      arpAnnouncements: at('arpAnnouncements'),
      arpConflicts: at('arpConflicts'),
    },
  }
}
