/**
 * SWIM's failure detector (Das, Gupta, Motivala 2002, sections 3.1 and 4.3): members are probed in the order of a
 * shuffled list, so that the time between two probes of one member is bounded by two rounds.
 *
 *     started ──answer──▶ gone (alive)
 *        │ timeout
 *        ▼
 *     k helpers asked, who have a link to it ──answer, direct or relayed──▶ gone (alive)
 *        │ deadline: the target is asked again; if helpers are fewer than k, or still owe an answer a little later,
 *        ▼
 *     k more asked, any ──answer──▶ gone (alive)
 *        │
 *        ▼
 *     failed: the caller accuses. At the deadline or later, as soon as k helpers have said that they did not reach it
 *     either (nack); without their word only at the end of all patience.
 *
 * The silence of helpers is no evidence against the target, as Lifeguard says (section IV-A); so whoever hears nothing
 * from them waits, for as long as a path takes that loses two segments in a row. A dead target costs no time by that: its
 * helpers say nack. An undue accusation needs all of k + 1 paths to fail at once.
 */

export interface Probe {
  seq: number
  target: string
  timeoutAtMs: number
  deadlineAtMs: number
  /** When more helpers are asked, if the first ones still owe an answer. ≥ deadlineAtMs. */
  askAgainAtMs: number
  finalAtMs: number
  /** How often helpers were asked: 0 to ASKED_MAX. */
  asked: number
  /** The target was asked a second time, at the deadline. */
  repeated: boolean
  /** Helpers asked, ever. */
  helpers: Set<string>
  /** Of these, those that owe an answer. */
  pending: Set<string>
  /** Of these, those whose silence may be ours: we had a link to them. */
  blaming: Set<string>
  /** Helpers that said nack, and how many must. */
  nacks: number
  nacksWanted: number
  /** Sent on a new connection, to be acquainted: its failure proves nothing. */
  greeting: boolean
}

/** Rounds of asking for help. */
const ASKED_MAX = 2

/** Enough others did not reach it either, and nobody else is expected to. */
function isCorroborated({ pending, nacks, nacksWanted }: Probe): boolean {
  return pending.size === 0 && nacks >= nacksWanted
}

function hasFailed(probe: Probe, nowMs: number): boolean {
  if (probe.greeting) return nowMs >= probe.deadlineAtMs
  return nowMs >= probe.finalAtMs || (nowMs >= probe.deadlineAtMs && isCorroborated(probe))
}

/** When the next helpers are to be asked. */
function helpAtMs({ greeting, asked, pending, timeoutAtMs, deadlineAtMs, askAgainAtMs }: Probe): number {
  if (greeting || asked === ASKED_MAX) return Infinity
  if (asked === 0) return timeoutAtMs
  return pending.size === 0 ? deadlineAtMs : askAgainAtMs
}

function repeatAtMs({ greeting, repeated, deadlineAtMs }: Probe): number {
  return greeting || repeated ? Infinity : deadlineAtMs
}

function dueMs(probe: Probe): number {
  if (probe.greeting || isCorroborated(probe)) return probe.deadlineAtMs
  return Math.min(helpAtMs(probe), repeatAtMs(probe), probe.finalAtMs)
}

/**
 * Targets in shuffled order, newcomers at a random place of the current round. Everybody comes up once per round, and is
 * passed over if it is fresh; if all are, the order decides. (At five nodes this takes 0.2 s from the slowest tenth of
 * detections: what chance leaves unprobed for longest is probed first.)
 */
export class ProbeOrder {
  #order: string[] = []
  #known: ReadonlySet<string> = new Set()
  #candidates: readonly string[] = []
  readonly #random: () => number

  constructor(random: () => number) {
    this.#random = random
  }

  /** The next target among those candidates that are ready to be probed, or undefined if there are none. */
  next(
    candidates: readonly string[],
    isReady: (id: string) => boolean,
    isFresh: (id: string) => boolean,
  ): string | undefined {
    if (candidates !== this.#candidates) this.#adopt(candidates)
    return this.#takeStale(isReady, isFresh) ?? this.#newRound(isReady, isFresh)
  }

  #adopt(candidates: readonly string[]): void {
    for (const id of candidates) {
      if (!this.#known.has(id)) this.#order.splice(Math.floor(this.#random() * (this.#order.length + 1)), 0, id)
    }
    this.#candidates = candidates
    this.#known = new Set(candidates)
  }

  #newRound(isReady: (id: string) => boolean, isFresh: (id: string) => boolean): string | undefined {
    this.#order = shuffle(this.#candidates.filter(isReady), this.#random)
    const last = this.#order.findLastIndex((id) => !isFresh(id))
    return last < 0 ? this.#order.pop() : this.#order.splice(last, 1)[0]
  }

  #takeStale(isReady: (id: string) => boolean, isFresh: (id: string) => boolean): string | undefined {
    for (;;) {
      const id = this.#order.pop()
      if (id === undefined || (this.#known.has(id) && isReady(id) && !isFresh(id))) return id
    }
  }
}

/** The probes under way. */
export class Probes {
  readonly #bySeq = new Map<number, Probe>()

  start(probe: Probe): void {
    this.#bySeq.set(probe.seq, probe)
  }

  isProbing(target: string): boolean {
    for (const probe of this.#bySeq.values()) if (probe.target === target && !probe.greeting) return true
    return false
  }

  /** The target, or a helper that reached it, has answered. Undefined if nobody waits for this answer. */
  answered(seq: number, from: string, relayed: boolean): Probe | undefined {
    const probe = this.#bySeq.get(seq)
    if (probe === undefined) return undefined
    if (relayed ? !probe.helpers.has(from) : probe.target !== from) return undefined
    this.#bySeq.delete(seq)
    return probe
  }

  /** A helper did not reach the target. */
  nack(seq: number, from: string): void {
    const probe = this.#bySeq.get(seq)
    if (probe?.pending.delete(from) !== true) return
    probe.blaming.delete(from)
    probe.nacks++
  }

  /** Nothing sent to this member arrived: as a helper it owes nothing, as a target it waits for helpers from now on. */
  unreachable(id: string, nowMs: number): void {
    for (const probe of this.#bySeq.values()) {
      probe.pending.delete(id)
      probe.blaming.delete(id)
      if (probe.target === id) probe.timeoutAtMs = Math.min(probe.timeoutAtMs, nowMs)
    }
  }

  /** Probes that want helpers now, those whose target is to be asked again, and those that have failed (and are gone from here). */
  due(nowMs: number): { wantHelpers: Probe[]; repeats: Probe[]; failed: Probe[] } {
    const wantHelpers: Probe[] = []
    const repeats: Probe[] = []
    const failed: Probe[] = []
    for (const probe of this.#bySeq.values()) {
      if (hasFailed(probe, nowMs)) {
        this.#bySeq.delete(probe.seq)
        failed.push(probe)
        continue
      }
      if (nowMs >= repeatAtMs(probe)) {
        probe.repeated = true
        repeats.push(probe)
      }
      if (nowMs >= helpAtMs(probe)) {
        probe.asked++
        wantHelpers.push(probe)
      }
    }
    return { wantHelpers, repeats, failed }
  }

  /** We were late ourselves by this much: everybody gets it as a bonus. */
  shift(ms: number): void {
    for (const probe of this.#bySeq.values()) {
      probe.timeoutAtMs += ms
      probe.deadlineAtMs += ms
      probe.askAgainAtMs += ms
      probe.finalAtMs += ms
    }
  }

  clear(): void {
    this.#bySeq.clear()
  }

  nextDueMs(): number {
    let next = Infinity
    for (const probe of this.#bySeq.values()) next = Math.min(next, dueMs(probe))
    return next
  }
}

/** Probes made for others. Each ends in a relayed answer or, at its deadline, in a nack. */
export interface Errand {
  requester: string
  requesterSeq: number
  target: string
  deadlineAtMs: number
}

/** Errands under way at one time; more are declined with a nack at once. */
export const ERRANDS_MAX = 256

export class Errands {
  readonly #bySeq = new Map<number, Errand>()

  get isFull(): boolean {
    return this.#bySeq.size >= ERRANDS_MAX
  }

  start(seq: number, errand: Errand): void {
    this.#bySeq.set(seq, errand)
  }

  answered(seq: number, from: string): Errand | undefined {
    const errand = this.#bySeq.get(seq)
    if (errand === undefined || errand.target !== from) return undefined
    this.#bySeq.delete(seq)
    return errand
  }

  /** Errands whose time is up, and those to a target that cannot be reached. They are gone from here. */
  expired(nowMs: number, unreachable?: string): Errand[] {
    const expired: Errand[] = []
    for (const [seq, errand] of this.#bySeq) {
      if (nowMs < errand.deadlineAtMs && errand.target !== unreachable) continue
      this.#bySeq.delete(seq)
      expired.push(errand)
    }
    return expired
  }

  clear(): void {
    this.#bySeq.clear()
  }

  nextDueMs(): number {
    let next = Infinity
    for (const errand of this.#bySeq.values()) next = Math.min(next, errand.deadlineAtMs)
    return next
  }
}

/** Fisher-Yates, in place. */
export function shuffle<T>(list: T[], random: () => number): T[] {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[list[i], list[j]] = [list[j]!, list[i]!]
  }
  return list
}
