/**
 * Everything this node holds about every member: the signed facts as they came, the latest report, and what it thinks
 * of the member. Facts are ordered by (incarnation, version), reports by (incarnation, report version); older ones are
 * ignored, so a replay changes nothing.
 */
import type { Accusation } from './accusations.ts'
import { evidenceOf } from './accusations.ts'
import { packValue, unpackValue } from './bounded-msgpack.ts'
import { isNumber, isRecord, isText } from './checks.ts'
import { isSignedBy } from './facts-signature.ts'
import type { ParsedFacts, SignedFacts } from './facts-signature.ts'
import type { Verifier } from './identity.ts'
import { shortId } from './messages.ts'
import type { Digest, DigestEntry, ReportEntry, ShortId } from './messages.ts'
import type { DeadReason, Member, MemberFacts, MemberStatus } from './types.ts'

export interface MemberState {
  readonly id: string
  readonly key: ShortId
  facts: MemberFacts
  factsVersion: number
  signed: SignedFacts
  reportVersion: number
  reportBody: Uint8Array
  load: number
  source: string
  /** When the report's sample was taken, on this node's clock. */
  sampledAtMs: number
  /** When it was first heard of. */
  readonly knownSinceMs: number
  /** When it last sent us anything itself. */
  heardAtMs: number
  status: MemberStatus
  deadReason: DeadReason | undefined
  statusSinceMs: number
  /** Against this incarnation; empty while alive. */
  accusations: Accusation[]
}

export type AdmitVerdict =
  | { change: 'none' }
  | { change: 'refused'; reason: string }
  | { change: 'new' | 'incarnation' | 'version'; state: MemberState }

export class Records {
  readonly #byId = new Map<string, MemberState>()
  readonly #byKey = new Map<ShortId, MemberState>()
  readonly #membersMax: number
  readonly #verify: Verifier

  constructor(membersMax: number, verify: Verifier) {
    this.#membersMax = membersMax
    this.#verify = verify
  }

  get(id: string): MemberState | undefined {
    return this.#byId.get(id)
  }

  byKey(key: ShortId): MemberState | undefined {
    return this.#byKey.get(key)
  }

  all(): IterableIterator<MemberState> {
    return this.#byId.values()
  }

  get isFull(): boolean {
    return this.#byId.size >= this.#membersMax
  }

  /** The signature is checked only for what is news, so once per (id, incarnation, version). */
  admit(parsed: ParsedFacts, signed: SignedFacts, nowMs: number): AdmitVerdict {
    const { facts, version } = parsed
    const state = this.#byId.get(facts.id)
    if (state !== undefined && !isNewer(facts.incarnation, version, state.facts.incarnation, state.factsVersion)) {
      return { change: 'none' }
    }
    const keyTaken = this.#byKey.get(shortId(facts.id))
    if (state === undefined && keyTaken !== undefined) return { change: 'refused', reason: 'short id taken' }
    if (state === undefined && this.isFull) return { change: 'refused', reason: 'too many members' }
    if (!isSignedBy(facts.id, signed, this.#verify)) return { change: 'refused', reason: 'signature' }
    if (state === undefined) return { change: 'new', state: this.insert(newState(parsed, signed, nowMs)) }
    const reborn = facts.incarnation > state.facts.incarnation
    state.facts = facts
    state.factsVersion = version
    state.signed = signed
    if (reborn) state.reportVersion = 0
    return { change: reborn ? 'incarnation' : 'version', state }
  }

  insert(state: MemberState): MemberState {
    this.#byId.set(state.id, state)
    this.#byKey.set(state.key, state)
    return state
  }

  remove(state: MemberState): void {
    this.#byId.delete(state.id)
    this.#byKey.delete(state.key)
  }

  /** Returns whether the report was news. */
  admitReport(entry: ReportEntry, nowMs: number): boolean {
    const state = this.#byKey.get(entry.key)
    if (state === undefined || entry.incarnation !== state.facts.incarnation) return false
    if (entry.version <= state.reportVersion) return false
    const report = readReportBody(entry.body)
    if (report === undefined) return false
    state.reportVersion = entry.version
    state.reportBody = entry.body
    state.load = report.load
    state.source = report.source
    state.sampledAtMs = nowMs - entry.ageMs
    return true
  }

  /**
   * The versions held, at most `max`: self first, then the suspected, then a random choice of the rest. `quiet` names
   * those about to be forgotten, whom nobody should be reminded of.
   */
  digest(self: MemberState, max: number, random: () => number, quiet: (state: MemberState) => boolean): Digest {
    const others = [...this.#byId.values()].filter((state) => state !== self && !quiet(state))
    const complete = others.length < max
    const chosen = complete ? others : choose(others, max - 1, random)
    return { complete, entries: [self, ...chosen].map(entryOf) }
  }
}

export function newState(parsed: ParsedFacts, signed: SignedFacts, nowMs: number): MemberState {
  return {
    id: parsed.facts.id,
    key: shortId(parsed.facts.id),
    facts: parsed.facts,
    factsVersion: parsed.version,
    signed,
    reportVersion: 0,
    reportBody: packReportBody(0, ''),
    load: 0,
    source: '',
    sampledAtMs: nowMs,
    knownSinceMs: nowMs,
    heardAtMs: -Infinity,
    status: parsed.left ? 'left' : 'alive',
    deadReason: undefined,
    statusSinceMs: nowMs,
    accusations: [],
  }
}

export function entryOf(state: MemberState): DigestEntry {
  return {
    key: state.key,
    incarnation: state.facts.incarnation,
    factsVersion: state.factsVersion,
    reportVersion: state.reportVersion,
    status: state.status,
    evidence: evidenceOf(state.accusations),
  }
}

export function isNewer(incarnation: number, version: number, heldIncarnation: number, heldVersion: number): boolean {
  return incarnation > heldIncarnation || (incarnation === heldIncarnation && version > heldVersion)
}

const LOAD_MAX = 1e6
const SOURCE_MAX = 32

export function packReportBody(load: number, source: string): Uint8Array {
  return packValue({ l: Math.min(LOAD_MAX, Math.max(0, load)), s: source.slice(0, SOURCE_MAX) })
}

function readReportBody(body: Uint8Array): { load: number; source: string } | undefined {
  const map = unpackValue(body)
  if (!isRecord(map) || !isNumber(map['l'], 0, LOAD_MAX) || !isText(map['s'], SOURCE_MAX)) return undefined
  return { load: map['l'], source: map['s'] }
}

export function toMember(state: MemberState, selfId: string, nowMs: number): Member {
  return {
    facts: state.facts,
    report: { load: state.load, source: state.source, ageMs: Math.max(0, nowMs - state.sampledAtMs) },
    status: state.status,
    ...(state.deadReason === undefined ? {} : { deadReason: state.deadReason }),
    self: state.id === selfId,
    reportVersion: state.reportVersion,
    statusSinceMs: state.statusSinceMs,
  }
}

function choose(states: MemberState[], count: number, random: () => number): MemberState[] {
  const suspects = states.filter((state) => state.status === 'suspect')
  const rest = states.filter((state) => state.status !== 'suspect')
  const wanted = Math.max(0, count - suspects.length)
  // Fisher-Yates, stopped as soon as enough are drawn.
  for (let i = 0; i < Math.min(wanted, rest.length); i++) {
    const j = i + Math.floor(random() * (rest.length - i))
    ;[rest[i], rest[j]] = [rest[j]!, rest[i]!]
  }
  return [...suspects.slice(0, count), ...rest.slice(0, wanted)]
}
