/**
 * The links of one node: made to neighbours and for messages that wait, replaced when they fall silent, closed when they
 * are of no use. What one link is up to is in link.ts, which of several to one peer counts in peering.ts, whom there is to
 * dial in contacts.ts and dialler.ts; here connections, frames and time are passed on to them, and what follows is done.
 *
 * Closing for idleness needs no farewell: the far end asks its core about the end of a connection only if this node is
 * its neighbour, and neighbours probe each other more often than idleness takes. Where views differ for a moment, the
 * probe that follows brings the link back.
 */
import type { GossipConfig } from './config.ts'
import { Contacts } from './contacts.ts'
import { DialBook } from './dial-book.ts'
import type { DialEntry } from './dial-book.ts'
import { Dialler } from './dialler.ts'
import { zeroLinkCounters } from './link-counters.ts'
import type { LinkCounters } from './link-counters.ts'
import { Link } from './link.ts'
import type { DialFailure, Lane, Network, PeerConnection } from './network.ts'
import { Peering } from './peering.ts'
import { Pending } from './pending.ts'
import { Flooders } from './rate-limit.ts'

/** Failed negotiations in a row that make a wrong key of it, not an accident. */
const KEY_FAILURES = 2

export interface LinkEvents {
  connected(id: string): void
  /** The last link to this peer ended, and neither end closed it for idleness. */
  closed(id: string): void
  /** Its port refused, and there is no other link to it. */
  refused(id: string): void
  /** What was to be sent to it did not leave. */
  unreachable(id: string): void
  stranger(address: string, reason: string): void
  /** Somebody else has this node's identity. */
  twin(address: string): void
}

export interface LinkOptions {
  network: Network
  config: GossipConfig
  now: () => number
  random: () => number
  /** Who may have a link. */
  admits: (id: string) => boolean
  events: LinkEvents
}

export class Links {
  /** Whom there could be links to: for the owner to keep up to date. */
  readonly contacts: Contacts
  readonly #network: Network
  readonly #config: GossipConfig
  readonly #now: () => number
  readonly #admits: (id: string) => boolean
  readonly #events: LinkEvents
  readonly #book: DialBook
  readonly #dialler: Dialler
  readonly #pending: Pending
  readonly #peerings = new Map<string, Peering>()
  readonly #links = new Map<PeerConnection, Link>()
  /** Those that are to be looked at some time; of a peer that owes nothing, nothing can become due. */
  readonly #watched = new Set<Peering>()
  #neighbours = new Set<string>()
  readonly #flooders = new Flooders()
  readonly #counters = zeroLinkCounters()
  #dueMs = Infinity
  #stopped = false

  constructor({ network, config, now, random, admits, events }: LinkOptions) {
    this.#network = network
    this.#config = config
    this.#now = now
    this.#admits = admits
    this.#events = events
    this.#book = new DialBook(config.redialMinMs, config.redialMaxMs, random)
    this.#pending = new Pending(config.pendingMs)
    const needs = {
      isLinked: (id: string) => this.#peerings.get(id)?.current.isToBeReplaced === false,
      isWanted: (id: string) => this.#neighbours.has(id) || this.#pending.has(id),
      isLiving: (id: string) => this.contacts.isLiving(id),
    }
    const results = {
      connected: (entry: DialEntry, connection: PeerConnection) => this.#adopt(connection, entry),
      failed: (entry: DialEntry, failure: DialFailure) => this.#dialFailed(entry, failure),
    }
    this.#dialler = new Dialler(network, this.#book, config, needs, results, now)
    this.contacts = new Contacts({ ownId: network.id, config, book: this.#book, dialler: this.#dialler, now, random })
  }

  // -- what is asked of it ------------------------------------------------------------------------------------------

  /** Links are kept to these. */
  setNeighbours(ids: readonly string[]): void {
    const before = this.#neighbours
    this.#neighbours = new Set(ids)
    for (const id of before) {
      if (this.#neighbours.has(id)) continue
      const peering = this.#peerings.get(id)
      if (peering !== undefined) this.#attend(peering)
      this.#dialler.touch(id)
    }
    for (const id of ids) if (!before.has(id)) this.#dialler.touch(id)
  }

  /** `owing`: the peer must answer this one. */
  send(to: string, lane: Lane, frame: Uint8Array, owing: boolean): void {
    const nowMs = this.#now()
    const peering = this.#peerings.get(to)
    if (peering !== undefined) return this.#transmit(peering, peering.current, lane, frame, owing, nowMs)
    if (this.#stopped || this.#book.byId(to).length === 0 || !this.#pending.add(to, { lane, frame, owing }, nowMs)) {
      this.#counters.framesDropped++
      return
    }
    this.#soon(this.#pending.dueMs)
    this.#dialler.hurry(to, nowMs)
  }

  isLinked(id: string): boolean {
    return this.#peerings.has(id)
  }

  /** Connections that count, and all of them. */
  get gauges(): { links: number; connections: number; addresses: number } {
    return { links: this.#peerings.size, connections: this.#links.size, addresses: this.#book.size }
  }

  get counters(): LinkCounters {
    return { ...this.#counters, ...this.#dialler.counters }
  }

  get dueMs(): number {
    return Math.min(this.#dueMs, this.#dialler.dueMs)
  }

  /** We were late ourselves: answers may lie unread. */
  forgive(lateMs: number): void {
    this.#dialler.late(this.#now())
    for (const link of this.#links.values()) link.forgive(lateMs)
  }

  sweep(nowMs: number): void {
    if (this.#stopped) return
    for (const { id, frames } of this.#pending.expired(nowMs)) {
      this.#counters.framesDropped += frames
      this.#dialler.touch(id)
    }
    for (const peering of this.#watched) {
      if (nowMs < peering.lookAtMs) continue
      for (const link of peering.over(nowMs)) this.#drop(link, 'surplus connection')
      this.#inspect(peering, nowMs)
      if (this.#peerings.get(peering.id) === peering) this.#attend(peering)
    }
    this.#dueMs = this.#pending.dueMs
    for (const { lookAtMs } of this.#watched) this.#soon(lookAtMs)
    if (nowMs >= this.#dialler.dueMs) this.#dialler.sweep(nowMs)
  }

  /**
   * Replaces this connection, without a gap if the peer can be dialled, and ends it within `withinMs`; a young one
   * within 2 s more, for which of two young links counts is a matter of who dialled, and the replacement could lose.
   */
  renew(connection: PeerConnection, withinMs: number): void {
    const link = this.#links.get(connection)
    if (link === undefined) return
    link.renew(this.#now(), withinMs)
    const peering = this.#peerings.get(connection.peer)
    if (peering !== undefined) this.#attend(peering)
  }

  /** Ends the links of all who are not admitted any more. */
  expel(): void {
    for (const id of this.#peerings.keys()) if (!this.#admits(id)) this.#endAll(id, 'not on the allow-list')
  }

  /** Ends every connection at once, as a killed process would. */
  stop(): void {
    this.#stopped = true
    this.#dialler.stop()
    this.#pending.clear()
    this.#dueMs = Infinity
    for (const link of this.#links.values()) link.connection.abort('stopping')
    this.#links.clear()
    this.#peerings.clear()
    this.#watched.clear()
  }

  // -- what the network tells -----------------------------------------------------------------------------------------

  opened(connection: PeerConnection): void {
    this.#adopt(connection, undefined)
  }

  /** Whether this frame is to be read. */
  received(connection: PeerConnection, bytes: number): boolean {
    const link = this.#links.get(connection)
    const peering = this.#peerings.get(connection.peer)
    if (link === undefined || peering === undefined) return false
    const nowMs = this.#now()
    if (link.heard(nowMs)) this.#dialler.touch(connection.peer)
    this.#counters.framesReceived++
    this.#counters.bytesReceived += bytes
    const verdict = peering.rateLimit.judge(bytes, nowMs)
    if (verdict === 'limited') this.#counters.framesLimited++
    if (verdict === 'flood') this.#shutOut(connection, nowMs)
    return verdict === 'taken'
  }

  /** What this peer sent is not gossip. */
  refuse(connection: PeerConnection, reason: string): void {
    this.#counters.framesRefused++
    this.#events.stranger(hostOf(connection.address), reason)
    const link = this.#links.get(connection)
    if (link !== undefined) this.#drop(link, reason)
  }

  closed(connection: PeerConnection): void {
    const link = this.#links.get(connection)
    if (link !== undefined) this.#ended(link, false)
  }

  // -- links ------------------------------------------------------------------------------------------------------------

  #endAll(id: string, reason: string): void {
    for (const link of this.#peerings.get(id)?.links ?? []) this.#drop(link, reason)
  }

  #adopt(connection: PeerConnection, entry: DialEntry | undefined): void {
    const nowMs = this.#now()
    if (this.#stopped) return connection.abort('stopping')
    if (connection.peer === this.#network.id) {
      connection.abort('own identity')
      this.#events.twin(connection.address)
      return
    }
    const bar = this.#bar(connection, nowMs)
    if (bar !== undefined) {
      if (entry !== undefined) this.#book.failed(entry, nowMs)
      return connection.abort(bar)
    }
    const link = new Link(connection, nowMs)
    this.#links.set(connection, link)
    const peering = this.#takesOver(link)
    if (peering === undefined) return
    this.#dialler.touch(connection.peer)
    for (const { lane, frame, owing } of this.#pending.take(connection.peer)) {
      // It may have ended with the frame before.
      if (!this.#links.has(connection)) this.#counters.framesDropped++
      else this.#transmit(peering, link, lane, frame, owing, nowMs)
    }
    if (this.#links.has(connection)) this.#events.connected(connection.peer)
  }

  /** The links of its peer, if this one is the one that counts now. */
  #takesOver(link: Link): Peering | undefined {
    const { peer } = link.connection
    const held = this.#peerings.get(peer)
    const peering = held ?? new Peering(this.#network.id, link, this.#config)
    if (held === undefined) this.#peerings.set(peer, peering)
    const { isNewer, excess } = held?.settle(link) ?? { isNewer: true, excess: undefined }
    this.#attend(peering)
    if (excess !== undefined) this.#drop(excess, 'too many connections')
    return isNewer ? peering : undefined
  }

  #transmit(peering: Peering, link: Link, lane: Lane, frame: Uint8Array, owing: boolean, nowMs: number): void {
    // Maybe too early: then the link has had patience shown to it before.
    if (link.sent(owing, nowMs)) this.#lookAt(peering, nowMs + this.#config.silentStreamMs)
    if (link.connection.send(lane, frame)) {
      this.#counters.framesSent++
      this.#counters.bytesSent += frame.length
    } else this.#counters.framesDropped++
  }

  #inspect(peering: Peering, nowMs: number): void {
    const { id, current } = peering
    const finding = peering.inspect(this.#neighbours.has(id), nowMs)
    switch (finding) {
      case 'in order':
        return
      case 'silent':
        this.#counters.silentLinks++
        return this.#dialler.hurry(id, nowMs)
      case 'renewal due':
        return this.#dialler.hurry(id, nowMs)
      case 'idle':
        this.#counters.idleLinks++
        return this.#drop(current, finding, true)
      case 'no answer':
      case 'to be renewed':
        return this.#drop(current, finding)
    }
  }

  /** Ends it from our side. */
  #drop(link: Link, reason: string, quietly = false): void {
    this.#ended(link, quietly)
    link.connection.abort(reason)
  }

  #ended(link: Link, quietly: boolean): void {
    const id = link.connection.peer
    this.#links.delete(link.connection)
    const peering = this.#peerings.get(id)
    if (peering === undefined) return
    if (peering.end(link)) return this.#attend(peering)
    this.#peerings.delete(id)
    this.#watched.delete(peering)
    for (const other of peering.links) {
      if (other === link) continue
      this.#links.delete(other.connection)
      other.connection.abort('surplus connection')
    }
    if (this.#stopped) return
    this.contacts.linkEnded(id, this.#now() - link.openedAtMs)
    if (!quietly) this.#events.closed(id)
  }

  // -- trouble --------------------------------------------------------------------------------------------------------

  #dialFailed(entry: DialEntry, failure: DialFailure): void {
    if (entry.keyFailures >= KEY_FAILURES) this.#events.stranger(entry.address, 'it refuses our cluster key')
    if (failure === 'self') this.#events.twin(entry.address)
    for (const id of entry.ids) {
      for (let dropped = this.#pending.take(id).length; dropped > 0; dropped--) this.#counters.framesDropped++
      // With a connection from there it is a firewall that refuses, not the host.
      if (this.#peerings.has(id)) continue
      if (failure === 'refused') this.#events.refused(id)
      if (failure !== 'self') this.#events.unreachable(id)
    }
    this.#dialler.reconsider(entry)
  }

  #shutOut(connection: PeerConnection, nowMs: number): void {
    const { peer, address } = connection
    this.#flooders.shutOut(peer, nowMs)
    this.#events.stranger(hostOf(address), 'it sends far too much')
    this.#endAll(peer, 'flood')
  }

  /** Why this peer does not get in. */
  #bar({ peer, address }: PeerConnection, nowMs: number): string | undefined {
    if (this.#flooders.isShutOut(peer, nowMs)) return 'shut out'
    if (this.#admits(peer)) return undefined
    this.#events.stranger(hostOf(address), `${peer} is not on the allow-list`)
    return 'not on the allow-list'
  }

  /** Sees to it that this peering is looked at in time. */
  #attend(peering: Peering): void {
    peering.lookAtMs = Infinity
    const dueMs = peering.dueMs(this.#neighbours.has(peering.id))
    if (dueMs < Infinity) this.#lookAt(peering, dueMs)
    else this.#watched.delete(peering)
  }

  #lookAt(peering: Peering, atMs: number): void {
    if (this.#peerings.get(peering.id) !== peering) return
    if (atMs < peering.lookAtMs) peering.lookAtMs = atMs
    this.#watched.add(peering)
    this.#soon(atMs)
  }

  #soon(atMs: number): void {
    if (atMs < this.#dueMs) this.#dueMs = atMs
  }
}

function hostOf(address: string): string {
  return address.split(':')[0]!
}
