/**
 * What members say to each other. Load reports change all the time, and a report is hardly larger than its version
 * number: so they are not announced but simply told, freshest first. Facts and verdicts change rarely: of them a ping
 * carries one hash over all (`view`), and only where two views differ follows scuttlebutt reconciliation (van Renesse et
 * al. 2008) on the back of the SWIM probe:
 *
 *     A ──ping (view hash, reports)────────────────▶ B
 *     A ◀──ack (what A seemed not to know)────────── B     the end, if the hashes agree; else the ack also has a digest
 *     A ──push (what B lacks; wants: what A lacks)─▶ B
 *     A ◀──push (what A wanted)───────────────────── B
 *
 *     A ──ping-req (target)──▶ B ──ping──▶ target, then B answers A with a relayed ack or a nack under A's number
 */
import type { Accusation } from './accusations.ts'
import type { SignedFacts } from './facts-signature.ts'
import type { DeadReason, MemberStatus } from './types.ts'

/** A member's name in digests and reports: the last 8 base58 digits of its peer id as a number, about 47 random bits. */
export type ShortId = number

const SHORT_ID_DIGITS = 8
export const SHORT_ID_END = 58 ** SHORT_ID_DIGITS
const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
const DIGIT_VALUES = new Map(Array.from(BASE58, (digit, value) => [digit, value]))

/** The id must be one (isPeerId). */
export function shortId(id: string): ShortId {
  let key = 0
  for (let at = id.length - SHORT_ID_DIGITS; at < id.length; at++) key = key * 58 + (DIGIT_VALUES.get(id[at]!) ?? 0)
  return key
}

/** What one side holds about one member. All zero: "I have never heard of it, tell me". */
export interface DigestEntry {
  key: ShortId
  incarnation: number
  factsVersion: number
  status: MemberStatus
  /** `evidenceOf` the accusations held. */
  evidence: number
}

/** Entries in one message, at most. */
export const DIGEST_MAX = 1_024
/** Most facts and most rumours in one message. */
export const FACTS_MAX = 256
export const RUMOURS_MAX = 256

export interface Digest {
  /** False if members were left out for size: then a missing one says nothing. */
  complete: boolean
  entries: DigestEntry[]
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
  rumours: Rumour[]
}

/** Load reports of several members, packed (reports.ts). Read where it is used: hundreds come in one message. */
export type ReportBlock = Uint8Array

export type Message =
  | {
      type: 'ping'
      seq: number
      /** Hash of the slow part of the sender's view. */
      view: number
      reports: ReportBlock
      delta: Delta
      /** With a greeting: nobody need guess what a newcomer knows. */
      digest?: Digest
    }
  | { type: 'ack'; seq: number; reports: ReportBlock; delta: Delta; wants: DigestEntry[]; digest?: Digest }
  | { type: 'ping-req'; seq: number; target: string }
  /** The target was reached on behalf of the receiver. */
  | { type: 'relayed-ack'; seq: number }
  | { type: 'nack'; seq: number }
  | { type: 'push'; delta: Delta; wants: DigestEntry[] }

export const EMPTY_DELTA: Delta = Object.freeze({
  facts: Object.freeze<SignedFacts[]>([]) as SignedFacts[],
  rumours: Object.freeze<Rumour[]>([]) as Rumour[],
})
export const NO_REPORTS: ReportBlock = new Uint8Array(0)

export function isEmptyDelta({ facts, rumours }: Delta): boolean {
  return facts.length === 0 && rumours.length === 0
}
