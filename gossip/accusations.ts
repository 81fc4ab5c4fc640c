/**
 * "I could not reach X": signed by the accuser, so that one member cannot pass for the two whose agreement kills a
 * third. Refutation is by incarnation: an accusation counts only against the incarnation it names. The bucket is the
 * accuser's own monotonic time in seconds; it tells replays from news and is compared with nobody else's clock.
 *
 *     signed: "dpr-gossip-accusation-1" 00 ‖ array [accused, incarnation, accuser, accuser's incarnation, bucket, kind]
 */
import { packValue } from './bounded-msgpack.ts'
import type { Signer, Verifier } from './identity.ts'

/** `refused`: the gossip port answered with a reset, so the host lives and its daemon does not. */
export type AccusationKind = 'silent' | 'refused'

export interface Accusation {
  accused: string
  incarnation: number
  accuser: string
  accuserIncarnation: number
  bucket: number
  kind: AccusationKind
  signature: Uint8Array
}

const BUCKET_MS = 1_000
const DOMAIN = Buffer.from('dpr-gossip-accusation-1\0')

export function accuse(
  accused: { id: string; incarnation: number },
  accuserIncarnation: number,
  kind: AccusationKind,
  nowMs: number,
  signer: Signer,
): Accusation {
  const bucket = Math.max(0, Math.floor(nowMs / BUCKET_MS))
  const body = {
    accused: accused.id,
    incarnation: accused.incarnation,
    accuser: signer.id,
    accuserIncarnation,
    bucket,
    kind,
  }
  return { ...body, signature: signer.sign(signedBytes(body)) }
}

export function isGenuine(accusation: Accusation, verify: Verifier): boolean {
  return verify(accusation.accuser, signedBytes(accusation), accusation.signature)
}

function signedBytes(a: Omit<Accusation, 'signature'>): Uint8Array {
  return Buffer.concat([
    DOMAIN,
    packValue([a.accused, a.incarnation, a.accuser, a.accuserIncarnation, a.bucket, a.kind === 'refused' ? 1 : 0]),
  ])
}

/** An accusation this many buckets older than the accuser's latest is a replay. Longer than any suspicion lasts. */
const BUCKETS_BACK_MAX = 30

interface Account {
  incarnation: number
  bucket: number
  /** The receiver's second in which `count` were admitted. */
  second: number
  count: number
}

/** What is accepted from each accuser: so many in a second of the receiver's clock, and nothing long past. */
export class AccuserLimits {
  readonly #perSecondMax: number
  readonly #accounts = new Map<string, Account>()

  constructor(perSecondMax: number) {
    this.#perSecondMax = perSecondMax
  }

  /** Counts a genuine accusation; `replay` is one that was made long before the accuser's latest. */
  admit({ accuser, accuserIncarnation, bucket }: Accusation, nowMs: number): 'admitted' | 'replay' | 'too many' {
    const second = Math.floor(nowMs / 1_000)
    const account = this.#accounts.get(accuser) ?? { incarnation: accuserIncarnation, bucket, second, count: 0 }
    this.#accounts.set(accuser, account)
    // Buckets are ordered only within one life of the accuser; a new incarnation may have begun at zero.
    if (accuserIncarnation > account.incarnation) account.bucket = bucket
    if (accuserIncarnation === account.incarnation && bucket < account.bucket - BUCKETS_BACK_MAX) return 'replay'
    account.incarnation = Math.max(account.incarnation, accuserIncarnation)
    account.bucket = Math.max(account.bucket, bucket)
    if (account.second !== second) Object.assign(account, { second, count: 0 })
    return ++account.count <= this.#perSecondMax ? 'admitted' : 'too many'
  }

  forget(accuser: string): void {
    this.#accounts.delete(accuser)
  }
}

/** Accusations kept per accused: more than are ever required, and few enough to travel. */
export const ACCUSATIONS_KEPT_MAX = 4

/**
 * One accusation more among those against the same incarnation. The lowest (refused first, then accuser's id) are kept,
 * so that everybody ends with the same few whatever the order of arrival. Undefined if nothing changes.
 */
export function withAccusation(kept: readonly Accusation[], accusation: Accusation): Accusation[] | undefined {
  const same = kept.find((a) => a.accuser === accusation.accuser)
  if (same !== undefined && (same.kind === 'refused' || accusation.kind === 'silent')) return undefined
  const next = kept.filter((a) => a !== same)
  // Not the window on a received frame, which would be kept alive by it.
  const own = { ...accusation, signature: new Uint8Array(accusation.signature) }
  next.push(own)
  next.sort((a, b) => (rank(a) < rank(b) ? -1 : 1))
  const dropped = next.length > ACCUSATIONS_KEPT_MAX ? next.pop() : undefined
  return dropped === own ? undefined : next
}

function rank(accusation: Accusation): string {
  return `${accusation.kind === 'refused' ? 0 : 1} ${accusation.accuser}`
}

/** Evidence that no further accusation can improve: as many refusals as are wanted; as many accusers. */
const PROVEN = 0xffff_ffff
const AGREED = 0xffff_fffe

/**
 * A number that differs when evidence differs that matters (FNV-1a over accuser and kind, summed): digests compare it.
 * Once `wanted` agree it no longer matters who they are, or a death among a thousand would be told in thousands of words.
 */
export function evidenceOf(kept: readonly Accusation[], wanted: number): number {
  let sum = 0
  let refusals = 0
  for (const accusation of kept) {
    if (accusation.kind === 'refused') refusals++
    let hash = accusation.kind === 'refused' ? 0x811c9dc5 : 0x01000193
    for (let i = 0; i < accusation.accuser.length; i++) {
      hash = Math.imul(hash ^ accusation.accuser.charCodeAt(i), 0x01000193)
    }
    sum = (sum + (hash >>> 0)) >>> 0
  }
  if (refusals >= wanted) return PROVEN
  return kept.length >= wanted && refusals === 0 ? AGREED : sum
}
