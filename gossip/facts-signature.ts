/**
 * The slow part of a member record as it travels: MessagePack bytes and the owner's Ed25519 signature over them. The
 * bytes are relayed as they came, so that a field which this version does not know survives the relay and the signature
 * still holds. Whoever signs must be the id inside; nobody can speak for another.
 *
 *     signed: "dpr-gossip-facts-1" 00 ‖ bytes
 *     bytes:  map { v: facts version, left: boolean, …MemberFacts }
 */
import {
  isArrayOf,
  isBytes,
  isInteger,
  isIpv4,
  isMac,
  isNumber,
  isPeerId,
  isRecord,
  isText,
  isVersion,
} from './checks.ts'
import { packValue, unpackValue } from './bounded-msgpack.ts'
import type { Signer, Verifier } from './identity.ts'
import type { Attachment, Claim, MemberFacts, ServiceRecord } from './types.ts'

export interface SignedFacts {
  bytes: Uint8Array
  signature: Uint8Array
}

export interface ParsedFacts {
  facts: MemberFacts
  /** Grows with every change within one incarnation. */
  version: number
  /** The owner said goodbye. */
  left: boolean
}

export type FactsVerdict = { ok: true; parsed: ParsedFacts } | { ok: false; reason: string }

/**
 * Reads a record that arrived. A process with many nodes may remember what it has read: `signed` is then the copy to
 * keep, equal to the one given.
 */
export type FactsReader = (
  signed: SignedFacts,
) => { ok: true; parsed: ParsedFacts; signed: SignedFacts } | { ok: false; reason: string }

export const readFacts: FactsReader = (signed) => {
  const verdict = parseFacts(signed.bytes)
  if (!verdict.ok) return verdict
  // What was decoded are windows on a received frame: kept as they are, each record would keep its frame alive.
  return { ...verdict, signed: { bytes: new Uint8Array(signed.bytes), signature: new Uint8Array(signed.signature) } }
}

/** Bytes of one record's slow part: as many addresses of each kind fit as are allowed. */
export const FACTS_BYTES_MAX = 32_768
export const SIGNATURE_BYTES = 64
const ADDRESSES_MAX = 256
/** Published addresses of the whole cluster. */
const ACCEPTS_MAX = 1_024
const ATTACHMENTS_MAX = 16
const SERVICES_MAX = 64
const NAME_MAX = 63
/** Nobody waits longer than this for a daemon that said it would come back. */
const RESTART_LEASE_MS_MAX = 600_000
const DOMAIN = Buffer.from('dpr-gossip-facts-1\0')

export function signFacts(parsed: ParsedFacts, signer: Signer): SignedFacts {
  const bytes = packValue({ v: parsed.version, left: parsed.left, ...parsed.facts })
  return { bytes, signature: signer.sign(Buffer.concat([DOMAIN, bytes])) }
}

export function isSignedBy(id: string, signed: SignedFacts, verify: Verifier): boolean {
  return verify(id, Buffer.concat([DOMAIN, signed.bytes]), signed.signature)
}

/** Reads and checks every field. Says nothing about the signature. */
export function parseFacts(bytes: Uint8Array): FactsVerdict {
  if (!isBytes(bytes, 1, FACTS_BYTES_MAX)) return { ok: false, reason: 'facts: size' }
  const map = unpackValue(bytes)
  if (!isRecord(map)) return { ok: false, reason: 'facts: not a map' }
  const { v: version, left } = map
  if (!isInteger(version, 1, Number.MAX_SAFE_INTEGER) || !isVersion(version)) return { ok: false, reason: 'facts: v' }
  if (typeof left !== 'boolean') return { ok: false, reason: 'facts: left' }
  const wrong = wrongField(map)
  if (wrong !== undefined) return { ok: false, reason: `facts: ${wrong}` }
  return { ok: true, parsed: { facts: freezeFacts(map as unknown as MemberFacts), version, left } }
}

/** The name of the first field that is out of range, or undefined. Unknown fields are nobody's fault. */
export function wrongField(facts: Record<string, unknown>): keyof MemberFacts | undefined {
  const checks: Record<keyof MemberFacts, (value: unknown) => boolean> = {
    id: isPeerId,
    name: (v) => isText(v, NAME_MAX) && v.length > 0,
    incarnation: isVersion,
    bootId: (v) => isText(v, 64),
    gossipAddress: isIpv4,
    gossipPort: (v) => isInteger(v, 1, 65_535),
    attachments: (v) => isArrayOf(v, ATTACHMENTS_MAX, isAttachment),
    homes: isAddresses,
    announces: (v) => isArrayOf(v, ADDRESSES_MAX, isClaim),
    accepts: (v) => isArrayOf(v, ACCEPTS_MAX, isIpv4),
    services: (v) => isArrayOf(v, SERVICES_MAX, isService),
    draining: (v) => typeof v === 'boolean',
    restartLeaseMs: (v) => isInteger(v, 0, RESTART_LEASE_MS_MAX),
    capacity: (v) => isNumber(v, Number.MIN_VALUE, 1e6),
    capacityFlows: (v) => isNumber(v, Number.MIN_VALUE, 1e9),
    protocol: isProtocolRange,
    software: (v) => isText(v, 64),
  }
  return (Object.keys(checks) as (keyof MemberFacts)[]).find((field) => !checks[field](facts[field]))
}

function isAddresses(value: unknown): value is string[] {
  return isArrayOf(value, ADDRESSES_MAX, isIpv4)
}

function isAttachment(value: unknown): value is Attachment {
  return (
    isRecord(value) &&
    isText(value['segment'], 64) &&
    isIpv4(value['address']) &&
    isMac(value['mac']) &&
    isInteger(value['mtu'], 68, 65_535)
  )
}

function isClaim(value: unknown): value is Claim {
  return isRecord(value) && isIpv4(value['address']) && isVersion(value['epoch']) && value['epoch'] >= 1
}

function isService(value: unknown): value is ServiceRecord {
  return (
    isRecord(value) &&
    (value['protocol'] === 'tcp' || value['protocol'] === 'udp') &&
    isInteger(value['port'], 1, 65_535) &&
    (value['health'] === 'healthy' || value['health'] === 'failing' || value['health'] === 'refused')
  )
}

function isProtocolRange(value: unknown): boolean {
  return isRecord(value) && isInteger(value['min'], 1, 255) && isInteger(value['max'], value['min'], 255)
}

/** Only the fields of the contract, deeply frozen: views share them with their callers. */
function freezeFacts(map: MemberFacts): MemberFacts {
  return Object.freeze({
    id: flat(map.id),
    name: map.name,
    incarnation: map.incarnation,
    bootId: map.bootId,
    gossipAddress: map.gossipAddress,
    gossipPort: map.gossipPort,
    attachments: frozenList(map.attachments, ({ segment, address, mac, mtu }) => ({ segment, address, mac, mtu })),
    homes: frozenList(map.homes, (address) => address),
    announces: frozenList(map.announces, ({ address, epoch }) => ({ address, epoch })),
    accepts: frozenList(map.accepts, (address) => address),
    services: frozenList(map.services, ({ protocol, port, health }) => ({ protocol, port, health })),
    draining: map.draining,
    restartLeaseMs: map.restartLeaseMs,
    capacity: map.capacity,
    capacityFlows: map.capacityFlows,
    protocol: Object.freeze({ min: map.protocol.min, max: map.protocol.max }),
    software: map.software,
  })
}

/**
 * The same text on its own. The decoder's texts are slices of one long string, which each of them keeps alive; and they
 * are compared character by character wherever they are looked up, as ids are with every message.
 */
function flat(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1')
}

function frozenList<T>(list: T[], copy: (item: T) => T): T[] {
  return Object.freeze(list.map((item) => Object.freeze(copy(item)))) as T[]
}
