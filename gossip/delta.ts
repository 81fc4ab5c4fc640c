/**
 * Reconciliation: what do I owe a peer that holds these versions, and what should I ask it for? Under a size bound the
 * order decides who starves: verdicts first, because they are small and urgent, then whatever is furthest behind
 * (scuttlebutt's fair ordering, van Renesse et al. 2008, section 3).
 */
import { SIGNATURE_BYTES } from './facts-signature.ts'
import { SHORT_ID_LENGTH } from './messages.ts'
import type { Delta, DigestEntry, Rumour, ShortId } from './messages.ts'
import { entryOf, isNewer } from './records.ts'
import type { MemberState, Records } from './records.ts'

/** What a peer lacks about one member. */
export interface Owed {
  state: MemberState
  facts: boolean
  report: boolean
  rumour: boolean
  /** Report versions it is behind; Infinity if it lacks the facts. */
  gap: number
}

export interface Difference {
  owed: Owed[]
  wants: DigestEntry[]
}

/** Compares a peer's entries with what is held. Members that it did not name are the caller's affair. */
export function difference(records: Records, entries: readonly DigestEntry[]): Difference {
  const owed: Owed[] = []
  const wants: DigestEntry[] = []
  for (const entry of entries) {
    const state = records.byKey(entry.key)
    if (state === undefined) {
      if (!records.isFull) wants.push(unknown(entry.key))
      continue
    }
    const mine = entryOf(state)
    const debt = owes(state, mine, entry)
    if (debt !== undefined) owed.push(debt)
    if (isBehind(mine, entry)) wants.push(mine)
  }
  return { owed, wants }
}

export function owedInFull(state: MemberState): Owed {
  return { state, facts: true, report: true, rumour: state.status !== 'alive', gap: Infinity }
}

function unknown(key: ShortId): DigestEntry {
  return { key, incarnation: 0, factsVersion: 0, reportVersion: 0, status: 'alive', evidence: 0 }
}

function owes(state: MemberState, mine: DigestEntry, theirs: DigestEntry): Owed | undefined {
  const facts = isNewer(mine.incarnation, mine.factsVersion, theirs.incarnation, theirs.factsVersion)
  const report = isNewer(mine.incarnation, mine.reportVersion, theirs.incarnation, theirs.reportVersion)
  const rumour =
    mine.incarnation > theirs.incarnation
      ? mine.status !== 'alive'
      : mine.incarnation === theirs.incarnation && knowsWorse(mine, theirs)
  if (!facts && !report && !rumour) return undefined
  return { state, facts, report, rumour, gap: facts ? Infinity : mine.reportVersion - theirs.reportVersion }
}

function isBehind(mine: DigestEntry, theirs: DigestEntry): boolean {
  return (
    isNewer(theirs.incarnation, theirs.factsVersion, mine.incarnation, mine.factsVersion) ||
    isNewer(theirs.incarnation, theirs.reportVersion, mine.incarnation, mine.reportVersion) ||
    (theirs.incarnation === mine.incarnation && knowsWorse(theirs, mine))
  )
}

const RANK = { alive: 0, suspect: 1, dead: 2, left: 3 } as const

/** Within one incarnation a verdict only ever gets worse, and suspicion only gathers evidence. `left` is in the facts. */
function knowsWorse(a: DigestEntry, b: DigestEntry): boolean {
  if (a.status === 'left' || b.status === 'left') return false
  if (RANK[a.status] !== RANK[b.status]) return RANK[a.status] > RANK[b.status]
  return a.status === 'suspect' && a.evidence !== b.evidence
}

/** As much of what is owed as fits, and the rest. A member's rumour always travels with its facts. */
export function fillDelta(
  owed: Owed[],
  bytesMax: number,
  nowMs: number,
): { delta: Delta; bytes: number; rest: Owed[] } {
  const delta: Delta = { facts: [], reports: [], rumours: [] }
  const rest: Owed[] = []
  let bytes = 0
  const ordered = owed.toSorted((a, b) => Number(b.rumour) - Number(a.rumour) || compareGaps(a.gap, b.gap))
  for (const debt of ordered) {
    const size = estimateBytes(debt)
    if (bytes + size > bytesMax && bytes > 0) {
      rest.push(debt)
      continue
    }
    bytes += size
    const { state } = debt
    if (debt.facts) delta.facts.push(state.signed)
    if (debt.report && state.reportVersion > 0) {
      delta.reports.push({
        key: state.key,
        incarnation: state.facts.incarnation,
        version: state.reportVersion,
        ageMs: nowMs - state.sampledAtMs,
        body: state.reportBody,
      })
    }
    const rumour = debt.rumour ? rumourOf(state, nowMs) : undefined
    if (rumour !== undefined) delta.rumours.push(rumour)
  }
  return { delta, bytes, rest }
}

function compareGaps(a: number, b: number): number {
  return a === b ? 0 : b - a
}

/** Upper estimates of the encoded sizes (headers, numbers of nine bytes). */
const NUMBERS_BYTES = 40
const RUMOUR_BYTES = 2 * NUMBERS_BYTES + SHORT_ID_LENGTH + 54
const ACCUSATION_BYTES = 54 + SIGNATURE_BYTES + NUMBERS_BYTES

function estimateBytes({ state, facts, report, rumour }: Owed): number {
  return (
    (facts ? state.signed.bytes.length + SIGNATURE_BYTES + 10 : 0) +
    (report ? state.reportBody.length + SHORT_ID_LENGTH + NUMBERS_BYTES : 0) +
    (rumour ? RUMOUR_BYTES + state.accusations.length * ACCUSATION_BYTES : 0)
  )
}

function rumourOf(state: MemberState, nowMs: number): Rumour | undefined {
  if (state.status === 'alive') return undefined
  return {
    key: state.key,
    incarnation: state.facts.incarnation,
    status: state.status,
    deadReason: state.status === 'dead' ? (state.deadReason ?? 'silent') : null,
    ageMs: nowMs - state.statusSinceMs,
    accusations: state.accusations,
  }
}
