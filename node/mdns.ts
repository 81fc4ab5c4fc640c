/**
 * Multicast DNS on each of the host's networks, so that the nodes of a cluster find each other without seeds. What is
 * said and understood is mdns-records.ts; here are sockets and a timer. Nothing that goes wrong ends the daemon: a
 * network that cannot be used is logged once and tried again.
 */
import makeMdns from 'multicast-dns'
import type { MulticastDNS } from 'multicast-dns'
import type { Logger } from './log.ts'
import { MDNS_PORT, MdnsRecords, type MdnsIdentity } from './mdns-records.ts'

/** Bound to the group, not to an address: a socket bound to the interface's own address hears no multicast on Linux. */
const GROUP = '224.0.0.251'
/** A socket that failed is opened anew after this. */
const REOPEN_MS = 30_000
/** For the last packet to leave. */
const GOODBYE_MS = 200

export interface MdnsOptions {
  self: MdnsIdentity
  /** Of every key that this node accepts. */
  tags: readonly string[]
  /** Own address on each network. */
  interfaces: readonly string[]
  discovered: (address: string) => void
  log: Logger
}

/** Counts since the start, for metrics. */
export interface MdnsCounters {
  questionsSent: number
  answersSent: number
  hints: number
  errors: number
}

export class Mdns {
  readonly counters: MdnsCounters = { questionsSent: 0, answersSent: 0, hints: 0, errors: 0 }
  readonly #links: MdnsLink[]

  constructor(options: MdnsOptions) {
    this.#links = options.interfaces.map((address) => new MdnsLink(address, options, this.counters))
  }

  start(): void {
    for (const link of this.#links) link.open()
  }

  setTags(tags: readonly string[]): void {
    for (const link of this.#links) link.setTags(tags)
  }

  /** Takes back what was said, and closes. */
  async stop(): Promise<void> {
    await Promise.all(this.#links.map((link) => link.close()))
  }
}

class MdnsLink {
  readonly #address: string
  readonly #options: MdnsOptions
  readonly #counters: MdnsCounters
  readonly #records: MdnsRecords
  #socket: MulticastDNS | undefined
  #timer: NodeJS.Timeout | undefined
  #closed = false
  #complained = false

  constructor(address: string, options: MdnsOptions, counters: MdnsCounters) {
    this.#address = address
    this.#options = options
    this.#counters = counters
    this.#records = new MdnsRecords(options.self, options.tags, performance.now(), Math.random)
  }

  open(): void {
    if (this.#closed) return
    const socket = makeMdns({ interface: this.#address, bind: GROUP, reuseAddr: true, loopback: true })
    this.#socket = socket
    socket.on('error', (error: Error) => this.#failed(socket, error))
    // Garbage that does not decode is a warning of the library, too, and no news.
    socket.on('warning', (error: NodeJS.ErrnoException) => {
      if (error.syscall !== undefined) this.#complain(error)
    })
    socket.on('query', (packet, { port }) => {
      this.#records.question(packet, port, performance.now())
      this.#schedule()
    })
    socket.on('response', (packet, { port }) => {
      if (port !== MDNS_PORT) return
      for (const hint of this.#records.response(packet, performance.now())) {
        this.#counters.hints++
        this.#options.discovered(hint)
      }
    })
    socket.on('ready', () => this.#schedule())
  }

  setTags(tags: readonly string[]): void {
    this.#records.setTags(tags, performance.now())
    this.#schedule()
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    const socket = this.#socket
    this.#socket = undefined
    if (socket === undefined) return
    // A socket that was never bound may never call back.
    await new Promise<void>((resolve) => {
      setTimeout(resolve, GOODBYE_MS)
      socket.respond({ answers: this.#records.answers(0) }, () => resolve())
    })
    await new Promise<void>((resolve) => socket.destroy(resolve))
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    if (this.#closed || this.#socket === undefined) return
    const inMs = Math.max(0, this.#records.nextMs - performance.now())
    this.#timer = setTimeout(() => this.#send(), Math.ceil(inMs))
    this.#timer.unref()
  }

  #send(): void {
    const { questions, answers } = this.#records.due(performance.now())
    const sent = (error: Error | null): void => {
      if (error !== null && error !== undefined) this.#complain(error)
    }
    if (questions !== undefined) {
      this.#counters.questionsSent++
      this.#socket?.query({ questions }, sent)
    }
    if (answers !== undefined) {
      this.#counters.answersSent++
      this.#socket?.respond({ answers }, sent)
    }
    this.#schedule()
  }

  #failed(socket: MulticastDNS, error: Error): void {
    this.#complain(error)
    if (this.#socket !== socket) return
    this.#socket = undefined
    clearTimeout(this.#timer)
    socket.destroy()
    setTimeout(() => this.open(), REOPEN_MS).unref()
  }

  #complain(error: Error): void {
    this.#counters.errors++
    if (this.#complained || this.#closed) return
    this.#complained = true
    this.#options.log.warn(
      { event: 'mdns', address: this.#address, error },
      'multicast DNS does not work there: nodes are found by seeds and by memory only',
    )
  }
}
