/**
 * Everything this node holds about every member: the signed facts as they came, the latest report, and what it thinks
 * of the member. Facts are ordered by (incarnation, version); older ones are ignored, so a replay changes nothing.
 * Besides the states themselves, what is asked about all of them with every message is kept
 * up to date here: the hash of the view, who is present, what changed last. A simulated cluster of a thousand holds a
 * million states, so a state is flat and shares what it can.
 */
import type { Accusation } from './accusations.ts'
import { isSignedBy } from './facts-signature.ts'
import type { ParsedFacts, SignedFacts } from './facts-signature.ts'
import type { Verifier } from './identity.ts'
import { shortId } from './messages.ts'
import type { DigestEntry, ShortId } from './messages.ts'
import { placesOf } from './overlay.ts'
import { ReportTable } from './report-table.ts'
import { LOAD_UNIT, sourceName } from './reports.ts'
import type { DeadReason, Member, MemberFacts, MemberStatus } from './types.ts'
import { entryHash } from './view-hash.ts'

export interface MemberState {
  readonly id: string
  readonly key: ShortId
  /** Its places on the rings of the overlay. */
  readonly places: Uint32Array
  facts: MemberFacts
  factsVersion: number
  signed: SignedFacts
  /** When it was first heard of; −∞ once a link to it was made or failed: then there is nothing to wait for. */
  introducedMs: number
  /** When it last sent us anything itself. */
  heardAtMs: number
  status: MemberStatus
  deadReason: DeadReason | undefined
  statusSinceMs: number
  /** Against this incarnation; empty while alive. Never changed in place by anybody but `keepAccusation`. */
  accusations: Accusation[]
  /** `evidenceOf` the accusations. */
  evidence: number
  /** About to be forgotten: whoever has forgotten it already must not be reminded. */
  quiet: boolean
  /** Its part of the view hash. */
  hash: number
  /** Place in `all` and row in `reports`; place in `present` (-1: absent). */
  slot: number
  presentAt: number
}

export type AdmitVerdict =
  | { change: 'none' }
  | { change: 'refused'; reason: 'short id' | 'members' | 'signature' }
  | { change: 'new' | 'incarnation' | 'version'; state: MemberState }

/** Members whose facts or verdicts changed last: digests name them first. */
const RECENT_MAX = 16

export class Records {
  /** In no particular order. */
  readonly all: readonly MemberState[]
  /** Alive or suspect, this node left out; in no particular order. */
  readonly present: readonly MemberState[]
  /** The latest report of each; row = `slot`. This node's own is row 0. */
  readonly reports = new ReportTable()
  /** Latest change first. */
  readonly recent: readonly MemberState[]
  readonly #all: MemberState[] = []
  readonly #present: MemberState[] = []
  readonly #recent: MemberState[] = []
  readonly #byId = new Map<string, MemberState>()
  readonly #self: MemberState
  readonly #membersMax: number
  readonly #verify: Verifier
  #viewHash = 0

  constructor(self: MemberState, membersMax: number, verify: Verifier) {
    this.all = this.#all
    this.present = this.#present
    this.recent = this.#recent
    this.#self = self
    this.#membersMax = membersMax
    this.#verify = verify
    this.#insert(self, self.introducedMs)
  }

  get(id: string): MemberState | undefined {
    return this.#byId.get(id)
  }

  byKey(key: ShortId): MemberState | undefined {
    return this.#all[this.reports.find(key)]
  }

  get isFull(): boolean {
    return this.#all.length >= this.#membersMax
  }

  /** Of everything but reports, and but for the members about to be forgotten. */
  get viewHash(): number {
    return this.#viewHash
  }

  /** The signature is checked only for what is news, so once per (id, incarnation, version). */
  admit(parsed: ParsedFacts, signed: SignedFacts, nowMs: number): AdmitVerdict {
    const { facts, version } = parsed
    const state = this.#byId.get(facts.id)
    if (state !== undefined && !isNewer(facts.incarnation, version, state.facts.incarnation, state.factsVersion)) {
      return { change: 'none' }
    }
    if (state === undefined) {
      if (this.byKey(shortId(facts.id)) !== undefined) return { change: 'refused', reason: 'short id' }
      if (this.isFull) return { change: 'refused', reason: 'members' }
    }
    if (!isSignedBy(facts.id, signed, this.#verify)) return { change: 'refused', reason: 'signature' }
    if (state === undefined) return { change: 'new', state: this.#insert(newState(parsed, signed, nowMs), nowMs) }
    const reborn = facts.incarnation > state.facts.incarnation
    state.facts = facts
    state.factsVersion = version
    state.signed = signed
    if (reborn) this.reports.beginLife(state.slot, facts.incarnation)
    return { change: reborn ? 'incarnation' : 'version', state }
  }

  remove(state: MemberState): void {
    this.#byId.delete(state.id)
    this.#setPresent(state, false)
    this.#viewHash = (this.#viewHash - state.hash) >>> 0
    const last = this.#all.pop()!
    if (last !== state) {
      this.#all[state.slot] = last
      last.slot = state.slot
    }
    this.reports.remove(state.slot)
    const recentAt = this.#recent.indexOf(state)
    if (recentAt >= 0) this.#recent.splice(recentAt, 1)
  }

  /** To be called after any change of facts, status, accusations or quietness. */
  changed(state: MemberState): void {
    this.#rehash(state)
    this.reports.setTold(state.slot, isPresent(state))
    if (state === this.#self) this.reports.beginLife(state.slot, state.facts.incarnation)
    this.#setPresent(state, state !== this.#self && isPresent(state))
    const recentAt = this.#recent.indexOf(state)
    if (recentAt >= 0) this.#recent.splice(recentAt, 1)
    else if (this.#recent.length === RECENT_MAX) this.#recent.pop()
    if (!state.quiet) this.#recent.unshift(state)
  }

  #insert(state: MemberState, nowMs: number): MemberState {
    state.slot = this.#all.push(state) - 1
    this.#byId.set(state.id, state)
    this.reports.append(state.key, state.facts.incarnation, nowMs)
    this.changed(state)
    return state
  }

  #rehash(state: MemberState): void {
    const hash = state.quiet ? 0 : entryHash(entryOf(state))
    this.#viewHash = (this.#viewHash - state.hash + hash) >>> 0
    state.hash = hash
  }

  #setPresent(state: MemberState, present: boolean): void {
    if (present === state.presentAt >= 0) return
    if (present) {
      state.presentAt = this.#present.push(state) - 1
      return
    }
    const last = this.#present.pop()!
    if (last !== state) {
      this.#present[state.presentAt] = last
      last.presentAt = state.presentAt
    }
    state.presentAt = -1
  }
}

const NOTHING: Accusation[] = Object.freeze<Accusation[]>([]) as Accusation[]

export function newState(parsed: ParsedFacts, signed: SignedFacts, nowMs: number): MemberState {
  const { id } = parsed.facts
  return {
    id,
    key: shortId(id),
    places: placesOf(id),
    facts: parsed.facts,
    factsVersion: parsed.version,
    signed,
    introducedMs: nowMs,
    heardAtMs: -Infinity,
    status: parsed.left ? 'left' : 'alive',
    deadReason: undefined,
    statusSinceMs: nowMs,
    accusations: NOTHING,
    evidence: 0,
    quiet: false,
    hash: 0,
    slot: -1,
    presentAt: -1,
  }
}

export function entryOf(state: MemberState): DigestEntry {
  return {
    key: state.key,
    incarnation: state.facts.incarnation,
    factsVersion: state.factsVersion,
    status: state.status,
    evidence: state.evidence,
  }
}

export function isPresent(state: MemberState): boolean {
  return state.status === 'alive' || state.status === 'suspect'
}

export function isNewer(incarnation: number, version: number, heldIncarnation: number, heldVersion: number): boolean {
  return incarnation > heldIncarnation || (incarnation === heldIncarnation && version > heldVersion)
}

export function toMember(state: MemberState, reports: ReportTable, nowMs: number): Member {
  const { slot } = state
  return {
    facts: state.facts,
    report: {
      load: reports.loadUnits(slot) * LOAD_UNIT,
      source: sourceName(reports.kind(slot), reports.tail(slot)),
      ageMs: Math.max(0, nowMs - reports.sampledAtMs(slot)),
    },
    status: state.status,
    ...(state.deadReason === undefined ? {} : { deadReason: state.deadReason }),
    self: slot === 0,
    reportVersion: reports.version(slot),
    statusSinceMs: state.statusSinceMs,
  }
}
