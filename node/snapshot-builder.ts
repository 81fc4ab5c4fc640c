/** The engine's snapshot from the node's view and the policy's table. Pure. */
import { parseIpv4, parseMac } from '../datapath/packet/bytes.ts'
import type { Snapshot, SnapshotAddress, SnapshotMember, SnapshotTable } from '../datapath/snapshot.ts'
import type { RoutingTable } from '../policy/types.ts'
import type { ClusterView, KnownMember } from './view.ts'

const NO_MAC = new Uint8Array(6)

export interface SnapshotInputs {
  version: number
  view: ClusterView
  table: RoutingTable
  /** This node doubts what it believes: nothing is announced, new flows stay here. */
  unsure: boolean
  services: readonly { protocol: 'tcp'; port: number }[]
  /** Interface index by our address on it. */
  ifindexOf: ReadonlyMap<string, number>
  /** Largest packet towards members that are not on a common segment, bytes. */
  mtu: number
  leaseUntilMs: number
}

export function buildSnapshot(inputs: SnapshotInputs): Snapshot {
  const { view, table, unsure } = inputs
  const size = view.members.reduce((max, { index }) => Math.max(max, index + 1), 0)
  const members: (SnapshotMember | undefined)[] = Array.from({ length: size }, () => undefined)
  for (const known of view.members) members[known.index] = snapshotMember(known, inputs)
  const announced = new Set(unsure ? [] : view.announced)
  const addresses = view.published.addresses.map(({ address }): SnapshotAddress => ({
    address: parseIpv4(address),
    role: announced.has(address) ? 'announcer' : 'other',
    orphans: { do: 'local' },
  }))
  return {
    version: inputs.version,
    self: view.self.index,
    members,
    addresses,
    services: inputs.services.map(({ port }) => ({ protocol: 6, port, table: 0 })),
    tables: [snapshotTable(unsure ? keeping(table) : table)],
    leaseUntilMs: inputs.leaseUntilMs,
  }
}

function snapshotMember(known: KnownMember, inputs: SnapshotInputs): SnapshotMember | undefined {
  const { member, link, mode, policy, acceptsOurs } = known
  if (mode === undefined) return undefined
  const { facts, status } = member
  return {
    id: facts.id,
    generation: known.generation,
    eligible: status === 'alive' && !policy.draining && policy.health !== 'refused' && acceptsOurs,
    existing: existingFlows(known),
    mode,
    ifindex: link === undefined ? 0 : (inputs.ifindexOf.get(link.ours.address) ?? 0),
    mac: link === undefined ? NO_MAC : parseMac(link.theirs.mac),
    macs: facts.attachments.map(({ mac }) => parseMac(mac)),
    address: parseIpv4(facts.gossipAddress),
    mtu: link === undefined ? inputs.mtu : Math.min(link.ours.mtu, link.theirs.mtu),
  }
}

/**
 * Three things fail separately: with only its daemon dead, a host's kernel keeps serving, so its flows go on; a host
 * that is silent may come back, so its flows are held, neither lost elsewhere nor reset.
 */
function existingFlows({ member }: KnownMember): SnapshotMember['existing'] {
  if (member.status !== 'dead') return 'forward'
  return member.deadReason === 'daemon-only' ? 'forward' : 'hold'
}

/** New flows stay. Not with a table that knows no flows: it would take the old ones along. */
function keeping(table: RoutingTable): RoutingTable {
  return table.stateless ? table : { ...table, localLimit: Infinity, ring: [] }
}

function snapshotTable({ localLimit, ring, stateless, fallback }: RoutingTable): SnapshotTable {
  return { localLimit, ring: Uint16Array.from(ring), stateless, fallback: Uint16Array.from(fallback) }
}

/** Whether two snapshots would make an engine do the same, version and lease aside. */
export function sameRouting(a: Snapshot, b: Snapshot): boolean {
  return routingText(a) === routingText(b)
}

function routingText(snapshot: Snapshot): string {
  return JSON.stringify({ ...snapshot, version: 0, leaseUntilMs: 0 }, (_key, value: unknown) =>
    value instanceof Uint16Array || value instanceof Uint8Array
      ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')
      : value === Infinity
        ? 'Infinity'
        : value,
  )
}
