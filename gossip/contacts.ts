/**
 * Whom this node could have a link to: the addresses that the operator named, that were discovered, or that members say
 * they are at, and which members live there. The dialler hears at once of what changes, so that it need not look at all
 * of them to find out whom to dial.
 */
import type { GossipConfig } from './config.ts'
import type { DialBook, Origin } from './dial-book.ts'
import type { Dialler } from './dialler.ts'

/** A link that lived this long was no flash in the pan: its address is redialled without backoff. */
const LASTING_MS = 1_000

export interface ContactsOptions {
  ownId: string
  config: GossipConfig
  book: DialBook
  dialler: Dialler
  now: () => number
  random: () => number
}

export class Contacts {
  readonly #ownId: string
  readonly #config: GossipConfig
  readonly #book: DialBook
  readonly #dialler: Dialler
  readonly #now: () => number
  readonly #random: () => number
  readonly #living = new Set<string>()

  constructor({ ownId, config, book, dialler, now, random }: ContactsOptions) {
    this.#ownId = ownId
    this.#config = config
    this.#book = book
    this.#dialler = dialler
    this.#now = now
    this.#random = random
  }

  /** Alive or suspect, as far as this node knows. */
  isLiving(id: string): boolean {
    return this.#living.has(id)
  }

  /** An address where somebody may be: dialled for ever (a found one: until it has proved useless). */
  noteAddress(address: string, origin: Origin): void {
    this.#note(address, origin, undefined, this.#now())
  }

  /** A member is there now, and lives as far as we know or does not. */
  noteMember(id: string, address: string, isLiving: boolean): void {
    if (isLiving) this.#living.add(id)
    else this.#living.delete(id)
    const isNew = !this.#book.byId(id).some((entry) => entry.address === address)
    if (isNew) {
      // Both ends hear of each other at about the same time: the higher id lets the lower one dial first.
      const patienceMs = Math.max(this.#config.redialMinMs * (2 + this.#random()), this.#dialler.slowMs)
      this.#note(address, 'member', id, this.#now() + (this.#ownId < id ? 0 : patienceMs))
    }
    this.#dialler.touch(id)
  }

  /** The member has left, or lives elsewhere now. */
  dropAddress(id: string, address: string): void {
    const entry = this.#book.drop(address, id)
    if (entry !== undefined) this.#dialler.reconsider(entry)
  }

  /** No longer a member. Its address is dialled on. */
  forgetMember(id: string): void {
    this.#living.delete(id)
    this.#dialler.touch(id)
  }

  /** The last link to this peer is gone, after this time. */
  linkEnded(id: string, lifetimeMs: number): void {
    const nowMs = this.#now()
    for (const entry of this.#book.byId(id)) {
      if (lifetimeMs >= LASTING_MS) this.#book.lasted(entry, nowMs)
      else this.#book.failed(entry, nowMs)
    }
    this.#dialler.hurry(id, nowMs)
  }

  #note(address: string, origin: Origin, id: string | undefined, nextAtMs: number): void {
    const { entry, evicted } = this.#book.note(address, origin, id, nextAtMs, (other) => this.isLiving(other))
    if (evicted !== undefined) this.#dialler.reconsider(evicted)
    this.#dialler.reconsider(entry)
  }
}
