/**
 * The links between this node and one peer, and which of them counts. Both ends settle that by the same rule, so that
 * neither ends what the other one keeps. Pure: time comes in.
 *
 *     newer link ──▶ current ──a better one came──▶ surplus ──500 ms──▶ aborted
 *                       ▲                             │
 *                       └──────the current ended──────┘
 */
import type { GossipConfig } from './config.ts'
import { SIMULTANEOUS_MS } from './link.ts'
import type { Finding, Link, Patience } from './link.ts'
import { PeerRateLimit } from './rate-limit.ts'

/** The surplus connection is kept for what is still under way on it. */
const SURPLUS_MS = 500
/** Connections of one peer: current, surplus. */
const CONNECTIONS_PER_PEER_MAX = 4
/**
 * A peer whose replacement falls silent, too, is slow, and more handshakes are no remedy: each time it has twice as long,
 * up to 2 to the power of this times, until a link has been in order for a while.
 */
const SILENCES_MAX = 4
const IN_ORDER_MS = 10_000

export class Peering {
  readonly id: string
  readonly rateLimit: PeerRateLimit
  /** Nothing is due before this: for the owner to keep, who looks at many peerings and must not ask them all. */
  lookAtMs = Infinity
  readonly #ownId: string
  readonly #config: GossipConfig
  readonly #surplus: Link[] = []
  #current: Link
  /** Links in a row that were replaced for their silence. */
  #silences = 0

  constructor(ownId: string, current: Link, config: GossipConfig) {
    this.id = current.connection.peer
    this.rateLimit = new PeerRateLimit(config.peerFramesPerSecondMax, current.openedAtMs)
    this.#ownId = ownId
    this.#config = config
    this.#current = current
  }

  get current(): Link {
    return this.#current
  }

  /** A list of its own; the current one is last. */
  get links(): Link[] {
    return [...this.#surplus, this.#current]
  }

  /** Settles which of two links counts. Returns whether it is the newer one, and the one that is too many, if one is. */
  settle(newer: Link): { isNewer: boolean; excess: Link | undefined } {
    const held = this.#current
    const isNewer = !this.#prefers(held, newer)
    if (held.isSilent) this.#silences++
    else if (newer.openedAtMs - held.openedAtMs >= IN_ORDER_MS) this.#silences = 0
    if (isNewer) this.#current = newer
    const other = isNewer ? held : newer
    this.#surplus.push(other)
    // One that has been replaced for its silence holds nothing that could still arrive.
    other.endAtMs = newer.openedAtMs + (other.isSilent ? 0 : SURPLUS_MS)
    const isFull = this.#surplus.length >= CONNECTIONS_PER_PEER_MAX
    return { isNewer, excess: isFull ? this.#surplus[0] : undefined }
  }

  /**
   * Of two connections that were dialled at the same time both ends keep the one that the lower id dialled. Otherwise
   * the newer counts: its dialler has lost the older.
   */
  #prefers(held: Link, newer: Link): boolean {
    const { direction } = held.connection
    if (held.isSilent || newer.openedAtMs - held.openedAtMs > SIMULTANEOUS_MS) return false
    if (direction === newer.connection.direction) return false
    return (direction === 'outbound') === this.#ownId < this.id
  }

  /**
   * This link is no more. The ends may disagree on which one is surplus: then the one that is left counts. False: none is
   * left that could, and what is left may go.
   */
  end(link: Link): boolean {
    if (link !== this.#current) {
      this.#withdraw(link)
      return true
    }
    const heir = this.#surplus.findLast(({ isSound }) => isSound)
    if (heir === undefined) return false
    this.#withdraw(heir)
    heir.endAtMs = Infinity
    this.#current = heir
    return true
  }

  #withdraw(link: Link): void {
    const index = this.#surplus.indexOf(link)
    if (index >= 0) this.#surplus.splice(index, 1)
  }

  /** Surplus links whose time is over. */
  over(nowMs: number): Link[] {
    return this.#surplus.filter(({ endAtMs }) => nowMs >= endAtMs)
  }

  /** When one of the links has to be looked at next. Idle ones are kept to neighbours. */
  dueMs(isNeighbour: boolean): number {
    let dueMs = this.#current.dueMs(this.#patience(isNeighbour))
    for (const { endAtMs } of this.#surplus) dueMs = Math.min(dueMs, endAtMs)
    return dueMs
  }

  /** Looks at the current link. */
  inspect(isNeighbour: boolean, nowMs: number): Finding {
    return this.#current.inspect(this.#patience(isNeighbour), nowMs)
  }

  #patience(isNeighbour: boolean): Patience {
    return {
      silentMs: this.#config.silentStreamMs * 2 ** Math.min(this.#silences, SILENCES_MAX),
      idleMs: isNeighbour ? Infinity : this.#config.linkIdleMs,
    }
  }
}
