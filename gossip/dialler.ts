/**
 * Who is dialled, and how often. Two classes, each with its own bounds:
 *
 *     wanted       neighbours and those that a message waits for, as long as there is no link: at once, with backoff,
 *                  and with a second dial beside the first when that one is slow (a lost SYN costs 1 s)
 *     background   addresses where nobody is known to live (seeds, those known before a restart, the dead), for ever:
 *                  two halves of a healed partition would otherwise never find each other
 *
 * Only entries that wait for a dial are looked at: in a quiet cluster that is none, whatever its size.
 */
import type { GossipConfig } from './config.ts'
import type { DialBook, DialEntry } from './dial-book.ts'
import type { DialFailure, DialOutcome, DialStage, Network, PeerConnection } from './network.ts'
import { TokenBucket } from './token-bucket.ts'

export interface DialNeeds {
  /** There is a link to this member that may stay. */
  isLinked(id: string): boolean
  /** A neighbour, or somebody that a message waits for. */
  isWanted(id: string): boolean
  /** Alive or suspect in this node's view. */
  isLiving(id: string): boolean
}

export interface DialResults {
  connected(entry: DialEntry, connection: PeerConnection): void
  failed(entry: DialEntry, failure: DialFailure): void
}

export interface DialCounters {
  dials: number
  dialsFailed: number
  dialsHedged: number
}

/** A discovered address where nobody was ever met is dropped after this many failures: it will be announced again. */
const FOUND_FAILURES_MAX = 8
/**
 * After a handshake that showed that we do not want this peer, or are it: each costs some 20 ms of CPU at both ends, and
 * the other end may dial us if things change.
 */
const UNWANTED_PAUSE_MS = 30_000
/**
 * Wanted dials begun within `dialHedgeMs`, or answered: as many as this at first, one more with every success, half when
 * this process is late. A handshake takes some 20 ms of CPU at both ends; of many at a time all are late.
 */
const WINDOW_START = 8
const WINDOW_MIN = 2
/** One lateness is one reason to halve it, and for as long one not to enlarge it. */
const LATENESS_MS = 500
/** A dial is slow when it takes this many times what dials took lately: on a busy host all of them are. */
const SLOW_FACTOR = 3
/** Weight of the latest dial in what they took lately. */
const LATEST_SHARE = 0.25
/** Seconds' worth of redials that may go out at once. */
const REDIAL_BURST_S = 2

/** One address being dialled, once or twice at a time. */
interface Round {
  readonly entry: DialEntry
  readonly wanted: boolean
  readonly startedAtMs: number
  /** When a second dial joins the first; Infinity: it has, or never will. */
  hedgeAtMs: number
  inFlight: number
  /** A kernel has accepted it; a daemon has answered it. */
  accepted: boolean
  answered: boolean
  settled: boolean
}

export class Dialler {
  readonly counters: DialCounters = { dials: 0, dialsFailed: 0, dialsHedged: 0 }
  readonly #network: Network
  readonly #book: DialBook
  readonly #config: GossipConfig
  readonly #needs: DialNeeds
  readonly #results: DialResults
  readonly #now: () => number
  readonly #waiting = new Set<DialEntry>()
  readonly #rounds = new Map<DialEntry, Round>()
  readonly #redials: TokenBucket
  readonly #hedges: TokenBucket
  readonly #inFlight = { wanted: 0, background: 0 }
  #window = WINDOW_START
  #halvedMs = -Infinity
  /** How long dials took lately that were answered. */
  #typicalMs = 0
  #dueMs = Infinity
  #stopped = false

  constructor(
    network: Network,
    book: DialBook,
    config: GossipConfig,
    needs: DialNeeds,
    results: DialResults,
    now: () => number,
  ) {
    this.#network = network
    this.#book = book
    this.#config = config
    this.#needs = needs
    this.#results = results
    this.#now = now
    const { redialsPerSecondMax, hedgesPerSecondMax } = config
    this.#redials = new TokenBucket(redialsPerSecondMax, Math.max(1, REDIAL_BURST_S * redialsPerSecondMax), now())
    this.#hedges = new TokenBucket(hedgesPerSecondMax, Math.max(1, hedgesPerSecondMax), now())
  }

  /** When `sweep` is due next, or earlier. */
  get dueMs(): number {
    return this.#dueMs
  }

  stop(): void {
    this.#stopped = true
    this.#waiting.clear()
    this.#dueMs = Infinity
  }

  /** Something about this member has changed: its links, its status, whether it is wanted. */
  touch(id: string): void {
    for (const entry of this.#book.byId(id)) this.reconsider(entry)
  }

  reconsider(entry: DialEntry): void {
    if (this.#stopped || !this.#book.has(entry) || this.#purpose(entry) === undefined) {
      this.#waiting.delete(entry)
      return
    }
    this.#waiting.add(entry)
    if (!this.#rounds.has(entry)) this.#dueMs = Math.min(this.#dueMs, entry.nextAtMs)
  }

  /** Dials this member's addresses now if they do not keep failing. */
  hurry(id: string, nowMs: number): void {
    for (const entry of this.#book.byId(id)) {
      this.#book.hurry(entry, nowMs)
      this.reconsider(entry)
    }
  }

  /** This process was late: it has more to do than it can. */
  late(nowMs: number): void {
    if (nowMs - this.#halvedMs < LATENESS_MS) return
    this.#halvedMs = nowMs
    this.#window = Math.max(WINDOW_MIN, Math.floor(this.#window / 2))
  }

  sweep(nowMs: number): void {
    if (this.#stopped) return
    this.#dueMs = Infinity
    for (const round of this.#rounds.values()) this.#hedge(round, nowMs)
    // A dial moves its entry to the end: whoever waits longest is next when tokens are short.
    const waiting = [...this.#waiting]
    for (const entry of waiting) {
      if (this.#rounds.has(entry)) continue
      if (nowMs < entry.nextAtMs) this.#dueMs = Math.min(this.#dueMs, entry.nextAtMs)
      else this.#consider(entry, nowMs)
    }
  }

  #purpose(entry: DialEntry): 'wanted' | 'background' | undefined {
    let occupied = false
    for (const id of entry.ids) {
      const linked = this.#needs.isLinked(id)
      if (!linked && this.#needs.isWanted(id)) return 'wanted'
      occupied ||= linked || this.#needs.isLiving(id)
    }
    return occupied ? undefined : 'background'
  }

  #consider(entry: DialEntry, nowMs: number): void {
    const purpose = this.#purpose(entry)
    if (purpose === undefined) {
      this.#waiting.delete(entry)
      return
    }
    // At the bound the next outcome brings us back here.
    if (this.#inFlight[purpose] >= this.#config.dialsMax) return
    if (purpose === 'wanted' && this.#isWindowFull(nowMs)) return
    if (purpose === 'background' && !this.#redials.take(nowMs)) {
      this.#dueMs = Math.min(this.#dueMs, this.#redials.readyAtMs(nowMs))
      return
    }
    this.#waiting.delete(entry)
    this.#waiting.add(entry)
    const round: Round = {
      entry,
      wanted: purpose === 'wanted',
      startedAtMs: nowMs,
      // The dead need no second dial; somebody never tried, a seed, does.
      hedgeAtMs: purpose === 'background' && entry.failures > 0 ? Infinity : nowMs + this.#patienceMs,
      inFlight: 0,
      accepted: false,
      answered: false,
      settled: false,
    }
    this.#rounds.set(entry, round)
    this.#attempt(round)
    this.#hedge(round, nowMs)
  }

  /** A slow one without an answer waits for the network, or for a peer that stands still. */
  #isWindowFull(nowMs: number): boolean {
    const patienceMs = this.#patienceMs
    let begun = 0
    let untilMs = Infinity
    for (const { wanted, startedAtMs, answered } of this.#rounds.values()) {
      if (!wanted || (!answered && nowMs >= startedAtMs + patienceMs)) continue
      begun++
      if (!answered) untilMs = Math.min(untilMs, startedAtMs + patienceMs)
    }
    if (begun < this.#window) return false
    this.#dueMs = Math.min(this.#dueMs, untilMs)
    return true
  }

  /** A dial that takes longer than this is slow, even if this host or the others are busy. 0: nothing is known yet. */
  get slowMs(): number {
    return SLOW_FACTOR * this.#typicalMs
  }

  get #patienceMs(): number {
    return Math.max(this.#config.dialHedgeMs, this.slowMs)
  }

  /** Sends a second dial after the first if it is time. Once accepted, no SYN is lost, and two take twice the time. */
  #hedge(round: Round, nowMs: number): void {
    if (round.accepted) return
    // Late ourselves: an answer may lie unread.
    if (nowMs - round.hedgeAtMs > this.#config.lateToleranceMs) round.hedgeAtMs = nowMs + this.#patienceMs
    if (nowMs < round.hedgeAtMs) {
      this.#dueMs = Math.min(this.#dueMs, round.hedgeAtMs)
      return
    }
    round.hedgeAtMs = Infinity
    if (!this.#hedges.take(nowMs)) return
    this.counters.dialsHedged++
    this.#attempt(round)
  }

  #attempt(round: Round): void {
    const purpose = round.wanted ? 'wanted' : 'background'
    this.counters.dials++
    this.#inFlight[purpose]++
    round.inFlight++
    const done = (outcome: DialOutcome): void => {
      this.#inFlight[purpose]--
      round.inFlight--
      if (this.#stopped) {
        if (outcome.ok) outcome.connection.abort('stopped')
        return
      }
      this.#outcome(round, outcome)
      // There is room for another.
      if (this.#waiting.size > 0) this.#dueMs = Math.min(this.#dueMs, this.#now())
    }
    const progress = (stage: DialStage): void => {
      round.accepted = true
      if (stage === 'answered') round.answered = true
    }
    this.#network.dial(round.entry.address, this.#config.dialTimeoutMs, done, progress)
  }

  #outcome(round: Round, outcome: DialOutcome): void {
    const { entry } = round
    if (round.settled) {
      // The slower of two. Its peer may have taken it for the better one: the links at that end go back to the other.
      if (outcome.ok) outcome.connection.abort('hedged')
      return
    }
    // A reset is an answer; silence is not while another attempt is under way.
    if (!outcome.ok && outcome.failure === 'unreachable' && round.inFlight > 0) return
    round.settled = true
    this.#rounds.delete(entry)
    const nowMs = this.#now()
    // One that was accepted and never answered says nothing about how long the others take.
    if (outcome.ok || round.answered) this.#typicalMs += LATEST_SHARE * (nowMs - round.startedAtMs - this.#typicalMs)
    if (outcome.ok) {
      if (nowMs - this.#halvedMs >= LATENESS_MS) this.#window = Math.min(this.#config.dialsMax, this.#window + 1)
      this.#met(entry, outcome.connection)
    } else this.#failed(entry, outcome.failure)
  }

  #met(entry: DialEntry, connection: PeerConnection): void {
    if (this.#book.has(entry)) this.#book.met(entry, connection.peer)
    this.#results.connected(entry, connection)
    // Still dialled for somebody else who is said to be there: no reason to do so without pause.
    if (this.#purpose(entry) !== undefined) this.#book.failed(entry, this.#now())
    this.reconsider(entry)
  }

  #failed(entry: DialEntry, failure: DialFailure): void {
    this.counters.dialsFailed++
    this.#book.failed(entry, this.#now())
    if (failure === 'denied' || failure === 'self') entry.nextAtMs = this.#now() + UNWANTED_PAUSE_MS
    entry.keyFailures = failure === 'key' ? entry.keyFailures + 1 : 0
    if (entry.origin === 'found' && entry.ids.size === 0 && entry.failures >= FOUND_FAILURES_MAX) {
      this.#book.remove(entry)
    }
    this.reconsider(entry)
    this.#results.failed(entry, failure)
  }
}
