/**
 * The snapshot in force, unpacked into flat arrays so that the packet loop looks things up without touching objects.
 * Replaced as a whole by `load`; ring cursors survive, as the design asks of an engine.
 */
import { MEMBERS_MAX } from './counters.ts'
import type { Snapshot, SnapshotTable } from './snapshot.ts'

export const MODE_SELF = 0
export const MODE_MAC = 1
export const MODE_IPIP = 2
export const EXISTING_FORWARD = 0
export const EXISTING_HOLD = 1
export const EXISTING_RESET = 2
export const ORPHANS_LOCAL = 0
export const ORPHANS_HOLD = 1
export const NO_TABLE = -1

/** A partition must not cut flows that are already forwarded: a member's IPIP is accepted this long after it went. */
const FORMER_MEMBER_MS = 60_000

/** RFC 791: every host accepts 576 bytes; a smaller figure is a mistake and must not reach the arithmetic of cutting. */
const MTU_MIN = 576

const MODES = { self: MODE_SELF, mac: MODE_MAC, ipip: MODE_IPIP } as const
const EXISTING = { forward: EXISTING_FORWARD, hold: EXISTING_HOLD, reset: EXISTING_RESET } as const

/** 6 bytes as one exact number: a Map key without a string. */
export function macKey(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! << 8) | bytes[at + 1]!) * 0x1_0000_0000 +
    (((bytes[at + 2]! << 24) | (bytes[at + 3]! << 16) | (bytes[at + 4]! << 8) | bytes[at + 5]!) >>> 0)
  )
}

export class Routing {
  version = 0
  self = 0
  /** By member index. */
  readonly present = new Uint8Array(MEMBERS_MAX)
  readonly eligible = new Uint8Array(MEMBERS_MAX)
  readonly existing = new Uint8Array(MEMBERS_MAX)
  readonly mode = new Uint8Array(MEMBERS_MAX)
  readonly generation = new Uint32Array(MEMBERS_MAX)
  readonly address = new Uint32Array(MEMBERS_MAX)
  readonly ifindex = new Int32Array(MEMBERS_MAX)
  readonly mtu = new Int32Array(MEMBERS_MAX)
  /** 6 bytes per member. */
  readonly mac = new Uint8Array(MEMBERS_MAX * 6)
  /** Table of a TCP port, or NO_TABLE. */
  readonly tableOfPort = new Int16Array(65_536).fill(NO_TABLE)
  tables: readonly SnapshotTable[] = []
  /** Next slot of each table's ring. */
  cursors = new Uint32Array(0)

  #published = new Map<number, number>()
  #announced = new Set<number>()
  #macs = new Set<number>()
  #memberAddresses = new Map<number, number>()

  /** Switches to a snapshot. The caller has checked that its version is newer. */
  load(snapshot: Snapshot, nowMs: number): void {
    this.version = snapshot.version
    this.self = snapshot.self
    this.present.fill(0)
    this.eligible.fill(0)
    this.#macs = new Set()
    const addresses = new Map<number, number>()
    for (const [address, until] of this.#memberAddresses) {
      const left = until === Infinity ? nowMs + FORMER_MEMBER_MS : until
      if (left > nowMs) addresses.set(address, left)
    }
    for (const [index, member] of snapshot.members.entries()) {
      if (member === undefined || index >= MEMBERS_MAX) continue
      this.present[index] = 1
      this.eligible[index] = member.eligible ? 1 : 0
      this.existing[index] = EXISTING[member.existing]
      this.mode[index] = MODES[member.mode]
      this.generation[index] = member.generation
      this.address[index] = member.address
      this.ifindex[index] = member.ifindex
      this.mtu[index] = Math.max(MTU_MIN, member.mtu)
      this.mac.set(member.mac, index * 6)
      if (index === snapshot.self) continue
      addresses.set(member.address, Infinity)
      for (const mac of member.macs) this.#macs.add(macKey(mac, 0))
    }
    this.#memberAddresses = addresses
    this.#published = new Map(
      snapshot.addresses.map(({ address, orphans }) => [
        address,
        orphans.do === 'local' ? ORPHANS_LOCAL : ORPHANS_HOLD,
      ]),
    )
    this.#announced = new Set(
      snapshot.addresses.filter(({ role }) => role === 'announcer').map(({ address }) => address),
    )
    this.tableOfPort.fill(NO_TABLE)
    for (const { protocol, port, table } of snapshot.services) if (protocol === 6) this.tableOfPort[port] = table
    const cursors = new Uint32Array(snapshot.tables.length)
    cursors.set(this.cursors.subarray(0, cursors.length))
    this.cursors = cursors
    this.tables = snapshot.tables
  }

  /** How orphans of a published address are treated; undefined for an address that is none. */
  orphansOf(address: number): number | undefined {
    return this.#published.get(address)
  }

  announces(address: number): boolean {
    return this.#announced.has(address)
  }

  get announced(): ReadonlySet<number> {
    return this.#announced
  }

  isMemberMac(bytes: Uint8Array, at: number): boolean {
    return this.#macs.has(macKey(bytes, at))
  }

  /** Whether IPIP from this address is accepted: a member's, or one's that left less than a minute ago. */
  isMemberAddress(address: number, nowMs: number): boolean {
    const until = this.#memberAddresses.get(address)
    return until !== undefined && until > nowMs
  }
}
