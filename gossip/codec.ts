/**
 * Messages as bytes. Decoding never throws: whatever arrives ends in a message or in a reason to count.
 *
 *     byte 0   protocol version (2); of another version nothing is read
 *     byte 1…  MessagePack map
 *              t  type: 0 ping, 1 ack, 2 ping-req, 3 relayed-ack, 4 nack, 5 push
 *              n  number of the probe (absent in push)
 *              v  hash of the sender's view (ping)
 *              r  reports, packed as in reports.ts (ping, ack; absent: none)
 *              g  target's peer id (ping-req)
 *              d  digest:  entries (ping, ack; absent: none); c true: it is complete
 *              w  wants:   entries (ack, push; absent: none)
 *                          entry: [key, incarnation, facts version, status, evidence]
 *              f  facts:   [bytes, signature] (ping, ack, push; absent: none)
 *              u  rumours: [key, incarnation, status, reason, age ms, accused id, accusations] (the same)
 *                          accusation: [accuser, accuser's incarnation, bucket, kind, signature]
 *
 * Status: 0 alive, 1 suspect, 2 dead, 3 left. Reason: 0 none, 1 daemon-only, 2 silent. Kind: 0 silent, 1 refused.
 * Unknown map keys and trailing array items are ignored, so that a later minor version may add some.
 */
import type { Accusation } from './accusations.ts'
import { packValue, unpackValue } from './bounded-msgpack.ts'
import { AGE_MS_MAX, isAge, isBytes, isInteger, isPeerId, isRecord, isVersion } from './checks.ts'
import type { SignedFacts } from './facts-signature.ts'
import { FACTS_BYTES_MAX, SIGNATURE_BYTES } from './facts-signature.ts'
import { DIGEST_MAX, EMPTY_DELTA, FACTS_MAX, NO_REPORTS, RUMOURS_MAX, SHORT_ID_END } from './messages.ts'
import type { Delta, Digest, DigestEntry, Message, Rumour } from './messages.ts'
import type { DeadReason, MemberStatus } from './types.ts'

export const PROTOCOL_VERSION = 2
/** Lists in one message. */
const ACCUSATIONS_MAX = 8
const REPORTS_BYTES_MAX = 65_536
const SEQ_MAX = 0xffff_ffff

const TYPES = ['ping', 'ack', 'ping-req', 'relayed-ack', 'nack', 'push'] as const
const STATUSES: readonly MemberStatus[] = ['alive', 'suspect', 'dead', 'left']
const REASONS: readonly (DeadReason | null)[] = [null, 'daemon-only', 'silent']

export type DecodeVerdict = { ok: true; message: Message } | { ok: false; reason: 'empty' | 'version' | 'malformed' }

export function encodeMessage(message: Message): Uint8Array {
  const bytes = packValue(toWire(message), 1)
  bytes[0] = PROTOCOL_VERSION
  return bytes
}

export function decodeMessage(bytes: Uint8Array): DecodeVerdict {
  if (bytes.length < 2) return { ok: false, reason: 'empty' }
  if (bytes[0] !== PROTOCOL_VERSION) return { ok: false, reason: 'version' }
  const map = unpackValue(bytes.subarray(1))
  const message = isRecord(map) ? fromWire(map) : undefined
  return message === undefined ? { ok: false, reason: 'malformed' } : { ok: true, message }
}

function toWire(message: Message): Record<string, unknown> {
  const map: Record<string, unknown> = { t: TYPES.indexOf(message.type) }
  if (message.type !== 'push') map['n'] = message.seq
  if (message.type === 'ping-req') map['g'] = message.target
  if (message.type === 'ping') map['v'] = message.view
  if (message.type === 'ping' || message.type === 'ack') {
    if (message.reports.length > 0) map['r'] = message.reports
    if (message.digest !== undefined) {
      map['c'] = message.digest.complete
      map['d'] = message.digest.entries.map(fromEntry)
    }
  }
  if ((message.type === 'ack' || message.type === 'push') && message.wants.length > 0) {
    map['w'] = message.wants.map(fromEntry)
  }
  if (message.type === 'ping' || message.type === 'ack' || message.type === 'push') {
    const { facts, rumours } = message.delta
    if (facts.length > 0) map['f'] = facts.map((f) => [f.bytes, f.signature])
    if (rumours.length > 0) map['u'] = rumours.map(fromRumour)
  }
  return map
}

function fromEntry(e: DigestEntry): unknown[] {
  return [e.key, e.incarnation, e.factsVersion, STATUSES.indexOf(e.status), e.evidence]
}

function wireAge(ageMs: number): number {
  return Math.round(Math.min(AGE_MS_MAX, Math.max(0, ageMs)))
}

function fromRumour(r: Rumour): unknown[] {
  return [
    r.key,
    r.incarnation,
    STATUSES.indexOf(r.status),
    REASONS.indexOf(r.deadReason),
    wireAge(r.ageMs),
    r.accusations[0]?.accused ?? '',
    r.accusations.map((a) => [a.accuser, a.accuserIncarnation, a.bucket, a.kind === 'refused' ? 1 : 0, a.signature]),
  ]
}

function fromWire(map: Record<string, unknown>): Message | undefined {
  const type = typeof map['t'] === 'number' ? TYPES[map['t']] : undefined
  if (type === undefined) return undefined
  const seq = map['n']
  if (type === 'push') return toPush(map)
  if (!isInteger(seq, 0, SEQ_MAX)) return undefined
  if (type === 'nack' || type === 'relayed-ack') return { type, seq }
  if (type === 'ping-req') return isPeerId(map['g']) ? { type, seq, target: map['g'] } : undefined
  const reports = map['r'] ?? NO_REPORTS
  const delta = toDelta(map)
  const digest = map['d'] === undefined ? {} : toDigest(map)
  if (delta === undefined || digest === undefined || !isBytes(reports, 0, REPORTS_BYTES_MAX)) return undefined
  if (type === 'ping') {
    const view = map['v']
    return isInteger(view, 0, 0xffff_ffff) ? { type, seq, view, reports, delta, ...digest } : undefined
  }
  const wants = toList(map['w'], DIGEST_MAX, toEntry)
  return wants && { type, seq, reports, delta, wants, ...digest }
}

function toPush(map: Record<string, unknown>): Message | undefined {
  const delta = toDelta(map)
  const wants = toList(map['w'], DIGEST_MAX, toEntry)
  return delta && wants && { type: 'push', delta, wants }
}

function toDigest(map: Record<string, unknown>): { digest: Digest } | undefined {
  const entries = toList(map['d'], DIGEST_MAX, toEntry)
  const complete = map['c']
  return entries && typeof complete === 'boolean' ? { digest: { complete, entries } } : undefined
}

/** Each item must parse, or the whole list is refused. Absent is empty. */
function toList<T>(value: unknown, max: number, parse: (item: unknown[]) => T | undefined): T[] | undefined {
  if (value === undefined) return []
  if (!Array.isArray(value) || value.length > max) return undefined
  const list: T[] = []
  for (const item of value as unknown[]) {
    const parsed = Array.isArray(item) ? parse(item as unknown[]) : undefined
    if (parsed === undefined) return undefined
    list.push(parsed)
  }
  return list
}

function toDelta(map: Record<string, unknown>): Delta | undefined {
  if (map['f'] === undefined && map['u'] === undefined) return EMPTY_DELTA
  const facts = toList(map['f'], FACTS_MAX, toFacts)
  const rumours = toList(map['u'], RUMOURS_MAX, toRumour)
  return facts && rumours && { facts, rumours }
}

function isKey(value: unknown): value is number {
  return isInteger(value, 0, SHORT_ID_END - 1)
}

function toEntry([key, incarnation, factsVersion, statusCode, evidence]: unknown[]): DigestEntry | undefined {
  const status = typeof statusCode === 'number' ? STATUSES[statusCode] : undefined
  if (!isKey(key) || !isVersion(incarnation) || !isVersion(factsVersion)) return undefined
  if (status === undefined || !isInteger(evidence, 0, 0xffff_ffff)) return undefined
  return { key, incarnation, factsVersion, status, evidence }
}

function toFacts([bytes, signature]: unknown[]): SignedFacts | undefined {
  if (!isBytes(bytes, 1, FACTS_BYTES_MAX) || !isBytes(signature, SIGNATURE_BYTES, SIGNATURE_BYTES)) return undefined
  // Windows on the frame: whoever keeps a record makes a copy of it (FactsReader).
  return { bytes, signature }
}

function toRumour([key, incarnation, statusCode, reasonCode, ageMs, accused, list]: unknown[]): Rumour | undefined {
  const status = typeof statusCode === 'number' ? STATUSES[statusCode] : undefined
  const deadReason = typeof reasonCode === 'number' ? REASONS[reasonCode] : undefined
  if (!isKey(key) || !isVersion(incarnation) || !isAge(ageMs)) return undefined
  if (status === undefined || status === 'alive' || deadReason === undefined) return undefined
  if ((status === 'dead') !== (deadReason !== null)) return undefined
  const accusations = toList(list, ACCUSATIONS_MAX, (item) => toAccusation(accused, incarnation, item))
  return accusations && { key, incarnation, status, deadReason, ageMs, accusations }
}

function toAccusation(accused: unknown, incarnation: number, item: unknown[]): Accusation | undefined {
  const [accuser, accuserIncarnation, bucket, kind, signature] = item
  if (!isPeerId(accused) || !isPeerId(accuser) || !isVersion(accuserIncarnation) || !isVersion(bucket)) return undefined
  if ((kind !== 0 && kind !== 1) || !isBytes(signature, SIGNATURE_BYTES, SIGNATURE_BYTES)) return undefined
  return {
    accused,
    incarnation,
    accuser,
    accuserIncarnation,
    bucket,
    kind: kind === 1 ? 'refused' : 'silent',
    signature: signature.slice(),
  }
}
