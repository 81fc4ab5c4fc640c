/**
 * Messages as bytes. Decoding never throws: whatever arrives ends in a message or in a reason to count.
 *
 *     byte 0   protocol version (1)
 *     byte 1…  MessagePack map
 *              t  type: 0 ping, 1 ack, 2 ping-req, 3 relayed-ack, 4 nack, 5 push
 *              n  number of the probe (absent in push)
 *              g  target's peer id (ping-req)
 *              c  the digest is complete (ping)
 *              d  digest (ping) or wants (ack): [key, incarnation, facts version, report version, status, evidence]
 *              f  facts:   [bytes, signature]
 *              r  reports: [key, incarnation, version, age ms, body]
 *              u  rumours: [key, incarnation, status, reason, age ms, accused id, accusations]
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
import { SHORT_ID_LENGTH, isEmptyDelta } from './messages.ts'
import type { Delta, DigestEntry, Message, ReportEntry, Rumour } from './messages.ts'
import type { DeadReason, MemberStatus } from './types.ts'

export const PROTOCOL_VERSION = 1
/** Lists in one message. */
const DIGEST_MAX = 1_024
const FACTS_MAX = 256
const REPORTS_MAX = 1_024
const RUMOURS_MAX = 256
const ACCUSATIONS_MAX = 8
const REPORT_BODY_MAX = 256
const SEQ_MAX = 0xffff_ffff

const TYPES = ['ping', 'ack', 'ping-req', 'relayed-ack', 'nack', 'push'] as const
const STATUSES: readonly MemberStatus[] = ['alive', 'suspect', 'dead', 'left']
const REASONS: readonly (DeadReason | null)[] = [null, 'daemon-only', 'silent']

export type DecodeVerdict = { ok: true; message: Message } | { ok: false; reason: 'empty' | 'version' | 'malformed' }

export function encodeMessage(message: Message): Uint8Array {
  const body = packValue(toWire(message))
  const bytes = new Uint8Array(1 + body.length)
  bytes[0] = PROTOCOL_VERSION
  bytes.set(body, 1)
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
  const t = TYPES.indexOf(message.type)
  if (message.type === 'push') return { t, ...fromDelta(message.delta) }
  const n = message.seq
  if (message.type === 'ping') {
    const { complete, entries } = message.digest
    return { t, n, c: complete, d: entries.map(fromEntry), ...fromDelta(message.delta) }
  }
  if (message.type === 'ack') return { t, n, d: message.wants.map(fromEntry), ...fromDelta(message.delta) }
  return message.type === 'ping-req' ? { t, n, g: message.target } : { t, n }
}

function fromEntry(e: DigestEntry): unknown[] {
  return [e.key, e.incarnation, e.factsVersion, e.reportVersion, STATUSES.indexOf(e.status), e.evidence]
}

function fromDelta(delta: Delta): Record<string, unknown> {
  if (isEmptyDelta(delta)) return {}
  return {
    f: delta.facts.map((f) => [f.bytes, f.signature]),
    r: delta.reports.map((r) => [r.key, r.incarnation, r.version, wireAge(r.ageMs), r.body]),
    u: delta.rumours.map(fromRumour),
  }
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
  if (type === 'push') {
    const delta = toDelta(map)
    return delta && { type, delta }
  }
  const seq = map['n']
  if (!isInteger(seq, 0, SEQ_MAX)) return undefined
  if (type === 'nack' || type === 'relayed-ack') return { type, seq }
  if (type === 'ping-req') return isPeerId(map['g']) ? { type, seq, target: map['g'] } : undefined
  const entries = toList(map['d'], DIGEST_MAX, toEntry)
  const delta = toDelta(map)
  if (entries === undefined || delta === undefined) return undefined
  if (type === 'ack') return { type, seq, wants: entries, delta }
  return typeof map['c'] === 'boolean' ? { type, seq, digest: { complete: map['c'], entries }, delta } : undefined
}

/** Each item must parse, or the whole list is refused. */
function toList<T>(value: unknown, max: number, parse: (item: unknown[]) => T | undefined): T[] | undefined {
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
  const facts = toList(map['f'] ?? [], FACTS_MAX, toFacts)
  const reports = toList(map['r'] ?? [], REPORTS_MAX, toReport)
  const rumours = toList(map['u'] ?? [], RUMOURS_MAX, toRumour)
  return facts && reports && rumours && { facts, reports, rumours }
}

function isKey(value: unknown): value is string {
  return typeof value === 'string' && value.length === SHORT_ID_LENGTH
}

function toEntry([key, incarnation, factsVersion, reportVersion, statusCode, evidence]: unknown[]):
  DigestEntry | undefined {
  const status = typeof statusCode === 'number' ? STATUSES[statusCode] : undefined
  if (!isKey(key) || !isVersion(incarnation) || !isVersion(factsVersion) || !isVersion(reportVersion)) return undefined
  if (status === undefined || !isInteger(evidence, 0, 0xffff_ffff)) return undefined
  return { key, incarnation, factsVersion, reportVersion, status, evidence }
}

function toFacts([bytes, signature]: unknown[]): SignedFacts | undefined {
  if (!isBytes(bytes, 1, FACTS_BYTES_MAX) || !isBytes(signature, SIGNATURE_BYTES, SIGNATURE_BYTES)) return undefined
  return { bytes, signature }
}

function toReport([key, incarnation, version, ageMs, body]: unknown[]): ReportEntry | undefined {
  if (!isKey(key) || !isVersion(incarnation) || !isVersion(version) || !isAge(ageMs)) return undefined
  return isBytes(body, 1, REPORT_BODY_MAX) ? { key, incarnation, version, ageMs, body } : undefined
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
    signature,
  }
}
