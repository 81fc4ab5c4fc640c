/**
 * Links between members over libp2p streams. A link is one connection with one long-lived stream for probes, opened by
 * the dialler and used in both directions, and a bulk stream per direction, opened when first needed; so probes never
 * queue behind bulk, and no message pays for a stream of its own (2 ms instead of 0.2 ms of CPU). Messages are
 * datagrams to the core: what cannot be sent now is dropped, and the next exchange repairs it.
 */
import type { Connection, Stream, StreamMessageEvent } from '@libp2p/interface'
import { decodeMessage, encodeMessage } from './codec.ts'
import type { GossipConfig } from './config.ts'
import type { Lane } from './core.ts'
import type { DialBook, DialEntry } from './dial-book.ts'
import { FrameDecoder, encodeFrame } from './framing.ts'
import { STREAMS_MAX } from './libp2p-node.ts'
import type { ClusterNode, DialFailure } from './libp2p-node.ts'
import type { Message } from './messages.ts'

const PROBE_PROTOCOL = '/dpr/probe/1'
const BULK_PROTOCOL = '/dpr/bulk/1'
/** Two connections of one pair that are no older than this were dialled at the same time. */
const SIMULTANEOUS_MS = 2_000
/** The surplus connection is kept for what is still under way on it. */
const SURPLUS_MS = 500
/** A link that lived this long was no flash in the pan: its address is redialled without backoff. */
const LASTING_MS = 1_000
/** Failed negotiations in a row that make a wrong key of it, not an accident. */
const KEY_FAILURES = 2

interface Link {
  readonly id: string
  readonly connection: Connection
  readonly probe: Stream
  readonly outbound: boolean
  readonly openedAtMs: number
  /** Address that we dialled. */
  readonly entry: DialEntry | undefined
  bulk: Stream | 'opening' | undefined
  /** Since when an answer is owed. */
  owedSinceMs: number | undefined
  /** Replaced by a better one. */
  surplus: boolean
}

export interface TransportEvents {
  message(from: string, message: Message): void
  connected(id: string): void
  closed(id: string): void
  refused(id: string): void
  stranger(address: string, reason: string): void
}

export interface TransportCounters {
  framesSent: number
  framesReceived: number
  framesDropped: number
  framesRefused: number
  silentLinks: number
}

export class Transport {
  readonly counters: TransportCounters = {
    framesSent: 0,
    framesReceived: 0,
    framesDropped: 0,
    framesRefused: 0,
    silentLinks: 0,
  }
  readonly #node: ClusterNode
  readonly #id: string
  readonly #book: DialBook
  readonly #config: GossipConfig
  readonly #events: TransportEvents
  readonly #now: () => number
  readonly #links = new Map<string, Link>()
  #stopped = false

  constructor(node: ClusterNode, book: DialBook, config: GossipConfig, events: TransportEvents, now: () => number) {
    this.#node = node
    this.#id = node.libp2p.peerId.toString()
    this.#book = book
    this.#config = config
    this.#events = events
    this.#now = now
  }

  async listen(): Promise<void> {
    const limits = { maxInboundStreams: STREAMS_MAX, maxOutboundStreams: STREAMS_MAX }
    await this.#node.libp2p.handle(
      PROBE_PROTOCOL,
      (stream, connection) => this.#adopt(connection, stream, undefined),
      limits,
    )
    await this.#node.libp2p.handle(BULK_PROTOCOL, (stream, connection) => this.#read(connection, stream), limits)
  }

  /** Open connections, surplus ones included. */
  get connections(): number {
    return this.#node.libp2p.getConnections().length
  }

  send(to: string, lane: Lane, message: Message): void {
    const link = this.#links.get(to)
    if (link === undefined) {
      this.counters.framesDropped++
      const entry = this.#book.byId(to)
      if (entry !== undefined) this.#hurry(entry)
      return
    }
    const frame = encodeFrame(encodeMessage(message))
    if (lane === 'bulk') {
      this.#sendBulk(link, frame)
      return
    }
    if (message.type === 'ping') link.owedSinceMs ??= this.#now()
    this.#write(link.probe, frame)
  }

  /**
   * Dials whom it is time to dial, and gives up links that owe an answer for too long. `forgiveMs`: we were late
   * ourselves, answers may lie unread. `mesh`: dial every member, or only those that have no id yet or asked for it.
   */
  sweep(forgiveMs: number, mesh: boolean): void {
    const nowMs = this.#now()
    for (const entry of this.#book.due(nowMs, (id) => this.#links.has(id))) {
      if (mesh || entry.seed || entry.failures > 0) void this.#dial(entry)
    }
    for (const link of this.#links.values()) {
      if (link.owedSinceMs === undefined) continue
      link.owedSinceMs += forgiveMs
      if (nowMs - link.owedSinceMs <= this.#config.silentStreamMs) continue
      this.counters.silentLinks++
      abort(link.connection, 'no answer')
    }
  }

  /** Ends every connection at once, as a killed process would. */
  stop(): void {
    this.#stopped = true
    for (const connection of this.#node.libp2p.getConnections()) abort(connection, 'stopping')
    this.#links.clear()
  }

  // -- dialling -------------------------------------------------------------------------------------------------

  #hurry(entry: DialEntry): void {
    const nowMs = this.#now()
    this.#book.hurry(entry, nowMs)
    if (!entry.dialling && nowMs >= entry.nextAtMs) void this.#dial(entry)
  }

  async #dial(entry: DialEntry): Promise<void> {
    if (this.#stopped) return
    entry.dialling = true
    const signal = AbortSignal.timeout(this.#config.dialTimeoutMs)
    const dialled = await this.#node.dial(entry.address, signal)
    if (!dialled.ok) return this.#dialFailed(entry, dialled.failure)
    const { connection } = dialled
    try {
      const stream = await connection.newStream(PROBE_PROTOCOL, { signal })
      this.#book.connected(entry, connection.remotePeer.toString())
      this.#adopt(connection, stream, entry)
    } catch {
      abort(connection, 'no probe stream')
      this.#dialFailed(entry, 'unreachable')
    }
  }

  #dialFailed(entry: DialEntry, failure: DialFailure): void {
    this.#book.failed(entry, this.#now())
    entry.keyFailures = failure === 'key' ? entry.keyFailures + 1 : 0
    if (this.#stopped) return
    // With a connection from there it is a firewall that refuses, not the host.
    if (failure === 'refused' && entry.id !== undefined && !this.#links.has(entry.id)) this.#events.refused(entry.id)
    if (entry.keyFailures >= KEY_FAILURES) this.#events.stranger(entry.address, 'it refuses our cluster key')
    if (failure === 'self') this.#events.stranger(entry.address, "it has this node's identity")
  }

  // -- links ----------------------------------------------------------------------------------------------------

  #adopt(connection: Connection, probe: Stream, entry: DialEntry | undefined): void {
    if (this.#stopped) return abort(connection, 'stopping')
    const link: Link = {
      id: connection.remotePeer.toString(),
      connection,
      probe,
      outbound: entry !== undefined,
      openedAtMs: this.#now(),
      entry,
      bulk: undefined,
      owedSinceMs: undefined,
      surplus: false,
    }
    this.#read(connection, probe, link)
    probe.addEventListener('close', () => this.#ended(link))
    connection.addEventListener('close', () => this.#ended(link))
    const rival = this.#links.get(link.id)
    if (rival !== undefined && this.#prefers(rival, link)) {
      this.#retire(link)
      return
    }
    this.#links.set(link.id, link)
    if (rival !== undefined) this.#retire(rival)
    this.#events.connected(link.id)
  }

  /**
   * Of two connections that were dialled at the same time both ends keep the one that the lower id dialled. Otherwise
   * the newer counts: its dialler has lost the older.
   */
  #prefers(held: Link, newer: Link): boolean {
    if (newer.openedAtMs - held.openedAtMs > SIMULTANEOUS_MS || held.outbound === newer.outbound) return false
    return held.outbound === this.#id < held.id
  }

  #retire(link: Link): void {
    link.surplus = true
    setTimeout(() => abort(link.connection, 'surplus connection'), SURPLUS_MS).unref()
  }

  #ended(link: Link): void {
    abort(link.connection, 'link ended')
    if (this.#links.get(link.id) !== link) return
    this.#links.delete(link.id)
    if (this.#stopped) return
    const nowMs = this.#now()
    const entry = this.#book.byId(link.id)
    if (entry !== undefined) {
      if (nowMs - link.openedAtMs >= LASTING_MS) this.#book.lasted(entry)
      else if (!entry.dialling) this.#book.failed(entry, nowMs)
      this.#hurry(entry)
    }
    this.#events.closed(link.id)
  }

  // -- streams --------------------------------------------------------------------------------------------------

  #read(connection: Connection, stream: Stream, link?: Link): void {
    const from = connection.remotePeer.toString()
    const decoder = new FrameDecoder(this.#config.frameBytesMax)
    stream.addEventListener('message', (event: StreamMessageEvent) => {
      if (link !== undefined) link.owedSinceMs = undefined
      const frames = decoder.push(event.data.subarray())
      if (frames === undefined) return this.#refuse(connection, 'a frame is too long')
      for (const frame of frames) {
        this.counters.framesReceived++
        const verdict = decodeMessage(frame)
        if (!verdict.ok) return this.#refuse(connection, `a message is refused (${verdict.reason})`)
        if (!this.#stopped) this.#events.message(from, verdict.message)
      }
    })
  }

  #refuse(connection: Connection, reason: string): void {
    this.counters.framesRefused++
    const [, , address = 'unknown'] = connection.remoteAddr.toString().split('/')
    abort(connection, reason)
    this.#events.stranger(address, reason)
  }

  #sendBulk(link: Link, frame: Uint8Array): void {
    if (link.bulk === 'opening') {
      this.counters.framesDropped++
      return
    }
    if (link.bulk !== undefined && link.bulk.status === 'open') {
      this.#write(link.bulk, frame)
      return
    }
    void this.#openBulk(link, frame)
  }

  async #openBulk(link: Link, first: Uint8Array): Promise<void> {
    link.bulk = 'opening'
    try {
      const signal = AbortSignal.timeout(this.#config.dialTimeoutMs)
      const stream = await link.connection.newStream(BULK_PROTOCOL, { signal })
      link.bulk = stream
      this.#write(stream, first)
    } catch {
      // The link is ending, or its peer is stuck; either way the probes find out.
      link.bulk = undefined
      this.counters.framesDropped++
    }
  }

  #write(stream: Stream, frame: Uint8Array): void {
    if (stream.status !== 'open' || stream.writableNeedsDrain) {
      this.counters.framesDropped++
      return
    }
    try {
      stream.send(frame)
      this.counters.framesSent++
    } catch {
      // Closed between the check and the call; the stream's own 'close' event ends the link.
      this.counters.framesDropped++
    }
  }
}

/** libp2p's abort throws if a layer below is closed already. */
function abort(connection: Connection, reason: string): void {
  if (connection.status === 'closed' || connection.status === 'aborted' || connection.status === 'reset') return
  try {
    connection.abort(new Error(reason))
  } catch {
    void connection.close().catch(() => undefined)
  }
}
