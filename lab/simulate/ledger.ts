/**
 * Who sees whom as what, kept from the events of all members, and what follows from it: how fast deaths are noticed,
 * and which are wrong. One byte for each pair, so that a thousand members fit.
 */
import type { MemberStatus, MembershipEvent } from '../../gossip/types.ts'

/** `unknown`: never heard of, or forgotten. */
export type SeenStatus = MemberStatus | 'unknown'

const STATUSES: readonly SeenStatus[] = ['unknown', 'alive', 'suspect', 'dead', 'left']
const ALIVE = 1
const DEAD = 3

/** Somebody said of a living member that it is dead. */
export interface WrongDeath {
  atMs: number
  viewer: number
  subject: number
  /** The accused stood still at that time or a little before: the others could not know better. */
  stalled: boolean
  /** Nobody else said so yet. */
  first: boolean
}

/** A daemon was killed or a host lost power, and when each member noticed. */
export interface Death {
  readonly subject: number
  readonly kind: 'daemon' | 'host'
  readonly atMs: number
  /** Until it was back; Infinity if it never was. */
  untilMs: number
  /** By viewer: time from the death until it was seen dead; NaN: not yet. */
  readonly noticedAfterMs: Float64Array
}

/** What the ledger must know about the world to judge a verdict. */
export interface World {
  isUp(member: number): boolean
  isReachable(viewer: number, subject: number): boolean
  /** It stood still now or within the last moments. */
  hasStalled(member: number): boolean
  /** Of its present life. */
  firstIncarnation(member: number): number
}

export class Ledger {
  readonly deaths: Death[] = []
  readonly wrongDeaths: WrongDeath[] = []
  /** Times that a member which was up, reachable and awake was suspected by somebody. */
  falseSuspicions = 0
  /** Times that any member's view of another changed. */
  statusChanges = 0
  readonly #members: number
  readonly #world: World
  /** By viewer · members + subject. */
  readonly #seen: Uint8Array
  /** By subject: viewers that are up and see it as … */
  readonly #aliveViews: Int32Array
  readonly #deadViews: Int32Array
  readonly #openDeath: (Death | undefined)[]

  constructor(members: number, world: World) {
    this.#members = members
    this.#world = world
    this.#seen = new Uint8Array(members * members)
    this.#aliveViews = new Int32Array(members)
    this.#deadViews = new Int32Array(members)
    this.#openDeath = Array.from({ length: members })
  }

  seen(viewer: number, subject: number): SeenStatus {
    return STATUSES[this.#seen[viewer * this.#members + subject]!]!
  }

  /** Members that are up and see this one alive, itself included if it is up. */
  aliveViews(subject: number): number {
    return this.#aliveViews[subject]!
  }

  /** A life of a daemon begins: it knows itself and nobody else. */
  begin(viewer: number): void {
    const death = this.#openDeath[viewer]
    if (death !== undefined) this.#openDeath[viewer] = undefined
    this.#set(viewer, viewer, ALIVE)
  }

  /** A life ends: its view counts no more. */
  end(viewer: number): void {
    for (let subject = 0; subject < this.#members; subject++) this.#set(viewer, subject, 0)
  }

  died(subject: number, kind: Death['kind'], nowMs: number): void {
    const noticedAfterMs = new Float64Array(this.#members).fill(NaN)
    const death: Death = { subject, kind, atMs: nowMs, untilMs: Infinity, noticedAfterMs }
    for (let viewer = 0; viewer < this.#members; viewer++) {
      if (this.#seen[viewer * this.#members + subject] === DEAD) noticedAfterMs[viewer] = 0
    }
    this.deaths.push(death)
    this.#openDeath[subject] = death
  }

  cameBack(subject: number, nowMs: number): void {
    const death = this.#openDeath[subject]
    if (death !== undefined) death.untilMs = nowMs
    this.#openDeath[subject] = undefined
  }

  /** @param subject undefined: an event about nobody in particular */
  note(viewer: number, subject: number, event: MembershipEvent, nowMs: number): void {
    if (event.type === 'forgotten') {
      this.#set(viewer, subject, 0)
      return
    }
    if (event.type !== 'joined' && event.type !== 'status') return
    const { status, facts } = event.member
    const before = this.#seen[viewer * this.#members + subject]!
    const code = STATUSES.indexOf(status)
    if (code === before) return
    this.statusChanges++
    this.#set(viewer, subject, code)
    if (status === 'dead' || status === 'left') {
      const death = this.#openDeath[subject]
      if (death !== undefined && Number.isNaN(death.noticedAfterMs[viewer]!)) {
        death.noticedAfterMs[viewer] = nowMs - death.atMs
      }
    }
    // Whoever joins hears of past deaths; those are history, not verdicts.
    if (event.type === 'joined' || (status !== 'dead' && status !== 'suspect')) return
    const world = this.#world
    const isAboutNow = facts.incarnation >= world.firstIncarnation(subject)
    if (!isAboutNow || !world.isUp(subject) || !world.isReachable(viewer, subject)) return
    const stalled = world.hasStalled(subject)
    if (status === 'suspect' && !stalled) this.falseSuspicions++
    if (status === 'dead') {
      this.wrongDeaths.push({ atMs: nowMs, viewer, subject, stalled, first: this.#deadViews[subject] === 1 })
    }
  }

  #set(viewer: number, subject: number, code: number): void {
    const place = viewer * this.#members + subject
    const before = this.#seen[place]!
    if (before === code) return
    this.#seen[place] = code
    if (before === ALIVE) this.#aliveViews[subject]!--
    if (code === ALIVE) this.#aliveViews[subject]!++
    if (before === DEAD) this.#deadViews[subject]!--
    if (code === DEAD) this.#deadViews[subject]!++
  }
}
