/**
 * Reconciliation of the slow part: what do I owe a peer that holds these versions, and what should I ask it for? Under a
 * size bound the order decides who starves: verdicts first, because they are small and urgent, then facts in random order
 * (the caller shuffles).
 */
import { SIGNATURE_BYTES } from './facts-signature.ts'
import { FACTS_MAX, RUMOURS_MAX } from './messages.ts'
import type { Delta, Digest, DigestEntry, Rumour, ShortId } from './messages.ts'
import { entryOf, isNewer } from './records.ts'
import type { MemberState, Records } from './records.ts'

/** What a peer lacks about one member. */
export interface Owed {
  state: MemberState
  facts: boolean
  rumour: boolean
}

export interface Difference {
  owed: Owed[]
  wants: DigestEntry[]
}

/**
 * Compares a peer's entries with what is held; of several about one member the first counts. Members that a complete
 * digest does not name are owed in full.
 */
export function difference(records: Records, { complete, entries }: Digest): Difference {
  const owed: Owed[] = []
  const wants: DigestEntry[] = []
  const named = new Set<ShortId>()
  for (const entry of entries) {
    if (named.has(entry.key)) continue
    named.add(entry.key)
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
  if (complete) {
    for (const state of records.all) if (!named.has(state.key) && !state.quiet) owed.push(owedInFull(state))
  }
  return { owed, wants }
}

export function owedInFull(state: MemberState): Owed {
  return { state, facts: true, rumour: state.status !== 'alive' }
}

function unknown(key: ShortId): DigestEntry {
  return { key, incarnation: 0, factsVersion: 0, status: 'alive', evidence: 0 }
}

function owes(state: MemberState, mine: DigestEntry, theirs: DigestEntry): Owed | undefined {
  const facts = isNewer(mine.incarnation, mine.factsVersion, theirs.incarnation, theirs.factsVersion)
  const rumour =
    mine.incarnation > theirs.incarnation
      ? mine.status !== 'alive'
      : mine.incarnation === theirs.incarnation && knowsWorse(mine, theirs)
  return facts || rumour ? { state, facts, rumour } : undefined
}

function isBehind(mine: DigestEntry, theirs: DigestEntry): boolean {
  return (
    isNewer(theirs.incarnation, theirs.factsVersion, mine.incarnation, mine.factsVersion) ||
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

/**
 * What is held, at most `max` entries: own, then the suspected, then what changed last, then the rest in turn, from
 * `cursor` on: so that what chance hides from one exchange after the other comes up all the same.
 */
export function digestOf(
  records: Records,
  self: MemberState,
  suspects: readonly MemberState[],
  max: number,
  cursor: number,
): Digest {
  const named = new Set([self])
  const { all, recent } = records
  for (const state of suspects) if (named.size < max) named.add(state)
  for (const state of recent) if (!state.quiet && named.size < max) named.add(state)
  let passed = 0
  for (; passed < all.length && named.size < max; passed++) {
    const state = all[(cursor + passed) % all.length]!
    if (!state.quiet) named.add(state)
  }
  return { complete: passed === all.length, entries: [...named].map(entryOf) }
}

/** As much of what is owed as fits, by bytes and by count, and the rest. A member's rumour always travels with its facts. */
export function fillDelta(
  owed: readonly Owed[],
  bytesMax: number,
  nowMs: number,
): { delta: Delta; bytes: number; rest: Owed[] } {
  const delta: Delta = { facts: [], rumours: [] }
  const rest: Owed[] = []
  let bytes = 0
  for (const urgent of [true, false]) {
    for (const debt of owed) {
      if (debt.rumour !== urgent) continue
      const size = estimateBytes(debt)
      const isFull = delta.facts.length >= FACTS_MAX || delta.rumours.length >= RUMOURS_MAX
      if (isFull || (bytes + size > bytesMax && bytes > 0)) {
        rest.push(debt)
        continue
      }
      bytes += size
      if (debt.facts) delta.facts.push(debt.state.signed)
      const rumour = debt.rumour ? rumourOf(debt.state, nowMs) : undefined
      if (rumour !== undefined) delta.rumours.push(rumour)
    }
  }
  return { delta, bytes, rest }
}

/** Upper estimates of the encoded sizes (headers, numbers of nine bytes). */
const NUMBERS_BYTES = 40
const RUMOUR_BYTES = 2 * NUMBERS_BYTES + 54
const ACCUSATION_BYTES = 54 + SIGNATURE_BYTES + NUMBERS_BYTES

function estimateBytes({ state, facts, rumour }: Owed): number {
  return (
    (facts ? state.signed.bytes.length + SIGNATURE_BYTES + 10 : 0) +
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
