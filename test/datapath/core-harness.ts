/** A rewriting core with a small cluster around it: host a (self, 10.1.0.1), b on the same LAN, c behind a router. */
import * as core from '../../datapath/core.ts'
import {
  COUNTER,
  DROP,
  DROP_REASONS,
  sharedCounters,
  sharedCountersBuffer,
  type CounterName,
} from '../../datapath/counters.ts'
import { parseIpv4, parseMac } from '../../datapath/packet/bytes.ts'
import { sipKey } from '../../datapath/siphash.ts'
import type { Snapshot, SnapshotMember, SnapshotTable } from '../../datapath/snapshot.ts'

export const SELF = 0
export const B = 1
export const C = 2
export const P1 = '10.1.0.101'
export const P2 = '10.1.0.102'
const NAMES: Readonly<Record<number, string>> = {
  [core.VERDICT_LOCAL]: 'local',
  [core.VERDICT_MAC]: 'mac',
  [core.VERDICT_IPIP]: 'ipip',
  [core.VERDICT_HOLD]: 'hold',
}

export function member(id: string, address: string, changes: Partial<SnapshotMember> = {}): SnapshotMember {
  return {
    id,
    generation: 1,
    eligible: true,
    existing: 'forward',
    mode: 'mac',
    ifindex: 2,
    mac: parseMac('02:00:00:00:00:0b'),
    macs: [parseMac('02:00:00:00:00:0b')],
    address: parseIpv4(address),
    mtu: 1_500,
    ...changes,
  }
}

export function tableOf(changes: Partial<SnapshotTable> = {}): SnapshotTable {
  return {
    localLimit: 0,
    ring: Uint16Array.from([B, C]),
    stateless: false,
    fallback: Uint16Array.from([SELF, B, C]),
    ...changes,
  }
}

export class Harness {
  readonly shared = sharedCounters(sharedCountersBuffer())
  readonly core: core.RewritingCore
  snapshot: Snapshot
  nowMs = 1_000

  constructor(table: Partial<SnapshotTable> = {}, flowTableEntries = 1_024) {
    this.core = new core.RewritingCore({
      flowTableEntries,
      key: sipKey(new Uint8Array(16).fill(7)),
      ownAddresses: [parseIpv4('10.1.0.1')],
      shared: this.shared,
    })
    this.snapshot = {
      version: 1,
      self: SELF,
      members: [
        member('a', '10.1.0.1', { mode: 'self' }),
        member('b', '10.1.0.2'),
        member('c', '10.2.0.1', { mode: 'ipip', ifindex: 0, mac: new Uint8Array(6), macs: [] }),
      ],
      addresses: [
        { address: parseIpv4(P1), role: 'announcer', orphans: { do: 'local' } },
        { address: parseIpv4(P2), role: 'other', orphans: { do: 'hold' } },
      ],
      services: [{ protocol: 6, port: 80, table: 0 }],
      tables: [tableOf(table)],
      leaseUntilMs: Infinity,
    }
    this.core.publish(this.snapshot, this.nowMs)
  }

  /** Publishes the snapshot with changes, as a new version. */
  change(changes: Partial<Snapshot>): void {
    this.snapshot = { ...this.snapshot, ...changes, version: this.snapshot.version + 1 }
    this.core.publish(this.snapshot, this.nowMs)
  }

  changeMember(index: number, changes: Partial<SnapshotMember>): void {
    const members = this.snapshot.members.map((m, i) => (i === index && m !== undefined ? { ...m, ...changes } : m))
    this.change({ members })
  }

  /** The verdict on a packet in words: "local", "mac b", "ipip c", "hold", "drop REASON". */
  send(packet: Uint8Array, options: { fromMember?: boolean; checksumKnown?: boolean } = {}): string {
    // As in the engine: the packet lies in a larger buffer, behind other bytes.
    const buffer = new Uint8Array(packet.length + 64)
    buffer.set(packet, 34)
    const { fromMember = false, checksumKnown = false } = options
    const verdict = this.core.decide(buffer, 34, packet.length, fromMember, checksumKnown, this.nowMs)
    if (verdict === core.VERDICT_DROP) {
      return `drop ${DROP_REASONS.find((reason) => DROP[reason] === this.core.reason) ?? 'unknown'}`
    }
    const name = NAMES[verdict]!
    return name === 'mac' || name === 'ipip' ? `${name} ${'abc'[this.core.member]}` : name
  }

  count(name: CounterName): number {
    return this.shared.values[COUNTER[name]]!
  }
}
