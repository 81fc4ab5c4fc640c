/**
 * One connection, and whether it does its duty: since when its peer owes an answer, when it is called silent and when it
 * is given up, when its owner wants another one in its place, since when it is idle. Pure: time comes in.
 *
 *     in order ──owes an answer for `silentMs`──▶ silent: replaced ──2 × as long, or the new one is there──▶ aborted
 *        ▲                                          │
 *        └──────────────any frame arrives───────────┘
 */
import type { PeerConnection } from './network.ts'

/** Two connections of one pair that are no older than this were dialled at the same time. */
export const SIMULTANEOUS_MS = 2_000
/** A silent link is kept for its replacement this many times as long as it took to be called silent. */
const GIVE_UP_FACTOR = 2

/** How much is borne of a link. */
export interface Patience {
  /** So long it may owe an answer. */
  silentMs: number
  /** So long it may be idle. Infinity: for ever. */
  idleMs: number
}

/** What an inspection found. `silent` and `renewal due` are said once, and ask for another link; the others end this one. */
export type Finding = 'in order' | 'silent' | 'renewal due' | 'no answer' | 'to be renewed' | 'idle'

export class Link {
  readonly connection: PeerConnection
  readonly openedAtMs: number
  /** Surplus: when it is aborted. */
  endAtMs = Infinity
  #usedAtMs: number
  #owedSinceMs: number | undefined
  /** Since when it is known to be silent: another one is being dialled. */
  #silentSinceMs: number | undefined
  /** Wanted gone by its owner, for its key say: another one is dialled from the first time on, it ends at the second. */
  #renewal: { fromMs: number; byMs: number; isDue: boolean } | undefined

  constructor(connection: PeerConnection, nowMs: number) {
    this.connection = connection
    this.openedAtMs = nowMs
    this.#usedAtMs = nowMs
  }

  get isSilent(): boolean {
    return this.#silentSinceMs !== undefined
  }

  /** Neither silent nor wanted gone. */
  get isSound(): boolean {
    return !this.isSilent && this.#renewal === undefined
  }

  /** Another one is wanted in its place now. */
  get isToBeReplaced(): boolean {
    return this.isSilent || this.#renewal?.isDue === true
  }

  /** A frame goes out; `owing`: the peer must answer it. True if it owed nothing before. */
  sent(owing: boolean, nowMs: number): boolean {
    this.#usedAtMs = nowMs
    if (!owing || this.#owedSinceMs !== undefined) return false
    this.#owedSinceMs = nowMs
    return true
  }

  /** Any frame is a sign of life. True if it was silent before. */
  heard(nowMs: number): boolean {
    const wasSilent = this.isSilent
    this.#owedSinceMs = undefined
    this.#silentSinceMs = undefined
    this.#usedAtMs = nowMs
    return wasSilent
  }

  forgive(lateMs: number): void {
    if (this.#owedSinceMs !== undefined) this.#owedSinceMs += lateMs
  }

  /** Another one is wanted, and this one gone within `withinMs`, once it can be replaced. Returns from when on. */
  renew(nowMs: number, withinMs: number): number {
    const fromMs = Math.max(nowMs, this.#replaceableMs)
    this.#renewal = { fromMs, byMs: fromMs + withinMs, isDue: false }
    return fromMs
  }

  /** When it has to be looked at next. */
  dueMs(patience: Patience): number {
    const renewal = this.#renewal
    const renewalMs = renewal === undefined ? Infinity : renewal.isDue ? renewal.byMs : renewal.fromMs
    return Math.min(renewalMs, this.#silentAtMs(patience), this.#usedAtMs + patience.idleMs)
  }

  inspect(patience: Patience, nowMs: number): Finding {
    const renewal = this.#renewal
    if (nowMs >= this.#silentAtMs(patience)) {
      if (this.isSilent) return 'no answer'
      this.#silentSinceMs = nowMs
      return 'silent'
    }
    if (renewal !== undefined && nowMs >= renewal.byMs) return 'to be renewed'
    if (renewal?.isDue === false && nowMs >= renewal.fromMs) {
      renewal.isDue = true
      return 'renewal due'
    }
    return nowMs >= this.#usedAtMs + patience.idleMs ? 'idle' : 'in order'
  }

  /** When it is to be replaced for its silence, or, if it is already, to be given up. */
  #silentAtMs({ silentMs }: Patience): number {
    if (this.#silentSinceMs !== undefined) return this.#silentSinceMs + GIVE_UP_FACTOR * silentMs
    if (this.#owedSinceMs === undefined) return Infinity
    return Math.max(this.#owedSinceMs + silentMs, this.#replaceableMs)
  }

  /** Not before can a replacement be sure not to lose against it: which of two young links counts, who dialled decides. */
  get #replaceableMs(): number {
    return this.openedAtMs + SIMULTANEOUS_MS + 1
  }
}
