/**
 * What members say to each other. One exchange is scuttlebutt reconciliation (van Renesse et al. 2008) on the back of a
 * SWIM probe:
 *
 *     A ──ping  (digest: the versions A holds)──────────────▶ B
 *     A ◀──ack  (delta: what A lacks; wants: what B lacks)─── B     larger deltas follow as a push on the bulk stream
 *     A ──push  (delta: what B wanted)──────────────────────▶ B
 *
 *     A ──ping-req (target)──▶ B ──ping──▶ target, then B answers A with an ack or a nack under A's number
 */
import type { Accusation } from './accusations.ts'
import type { SignedFacts } from './facts-signature.ts'
import type { DeadReason, MemberStatus } from './types.ts'

/** A member's name in digests: the end of its peer id, 11 base58 digits ≈ 64 bits of its public key. */
export type ShortId = string

export const SHORT_ID_LENGTH = 11

export function shortId(id: string): ShortId {
  return id.slice(-SHORT_ID_LENGTH)
}

/** What one side holds about one member. All zero: "I have never heard of it, tell me". */
export interface DigestEntry {
  key: ShortId
  incarnation: number
  factsVersion: number
  reportVersion: number
  status: MemberStatus
  /** `evidenceOf` the accusations held. */
  evidence: number
}

export interface Digest {
  /** False if members were left out for size: then a missing one says nothing. */
  complete: boolean
  entries: DigestEntry[]
}

export interface ReportEntry {
  key: ShortId
  incarnation: number
  version: number
  /** Age of the sample when sent. */
  ageMs: number
  /** MessagePack map { l: load, s: source, … }, relayed as it came. */
  body: Uint8Array
}

/**
 * What one side thinks of a member that is not `alive`. That a member left is proved by its signed facts; the rumour
 * only adds since when, or newcomers would keep the name of the departed in circulation for ever.
 */
export interface Rumour {
  key: ShortId
  incarnation: number
  status: Exclude<MemberStatus, 'alive'>
  /** Only with `dead`. */
  deadReason: DeadReason | null
  /** Time since the sender began to think so. */
  ageMs: number
  accusations: Accusation[]
}

export interface Delta {
  facts: SignedFacts[]
  reports: ReportEntry[]
  rumours: Rumour[]
}

export type Message =
  | { type: 'ping'; seq: number; digest: Digest; delta: Delta }
  | { type: 'ack'; seq: number; delta: Delta; wants: DigestEntry[] }
  | { type: 'ping-req'; seq: number; target: string }
  /** The target was reached on behalf of the receiver. */
  | { type: 'relayed-ack'; seq: number }
  | { type: 'nack'; seq: number }
  | { type: 'push'; delta: Delta }

export const EMPTY_DELTA: Delta = Object.freeze({ facts: [], reports: [], rumours: [] })

export function isEmptyDelta({ facts, reports, rumours }: Delta): boolean {
  return facts.length === 0 && reports.length === 0 && rumours.length === 0
}
