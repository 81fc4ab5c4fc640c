/**
 * The key ring, watched: inbound connections that end before they have shown a key of ours are strangers'. Who has shown
 * one and then gives up is a member on a bad day, unless it is refused for its id. A connection and its socket are
 * recognised by the timeline object they share. Whoever does not go on costs next to no CPU, but a place among the
 * handshakes under way: no host gets more than a share of those. That holds for those that have shown a key as well,
 * since what shows it can be recorded and sent again.
 */
import type { Connection, ConnectionProtector, MessageStream, MultiaddrConnection } from '@libp2p/interface'
import { UnknownKeyError } from './key-ring.ts'
import type { KeyRing, ProtectOptions } from './key-ring.ts'
import { INCOMPLETE_REASON, TWIN_REASON } from './strangers.ts'

/** Inbound handshakes under way at one time; more are hung up on, and come again a little later. */
export const INBOUND_PENDING_MAX = 128
/** Of these, connections of one host that have not shown a key yet. Below the whole, or one stranger could keep all out. */
const UNKNOWN_PER_HOST_MAX = 32
/** The same, whether or not they have. A host has one daemon, which makes a few at a time. */
const PENDING_PER_HOST_MAX = 64

interface Pending {
  host: string
  hasKey: boolean
}

export class HandshakeWatch implements ConnectionProtector {
  readonly #keys: KeyRing
  readonly #onStranger: (address: string, reason: string) => void
  /** Inbound, without a use yet. */
  readonly #pending = new Map<object, Pending>()
  /** The same by host. */
  readonly #pendingOf = new Map<string, number>()
  /** Connections by host that have not shown a key yet. */
  readonly #unknown = new Map<string, number>()

  constructor(keys: KeyRing, onStranger: (address: string, reason: string) => void) {
    this.#keys = keys
    this.#onStranger = onStranger
  }

  async protect(stream: MessageStream, options?: ProtectOptions): Promise<MessageStream> {
    const connection = stream as MultiaddrConnection
    if (connection.direction === 'outbound') return this.#keys.protect(stream, options)
    const host = hostOf(connection)
    const unknown = this.#unknown.get(host) ?? 0
    if (unknown >= UNKNOWN_PER_HOST_MAX) throw new Error(`${unknown} connections from ${host} have not shown a key yet`)
    const pending = this.#pendingOf.get(host) ?? 0
    if (pending >= PENDING_PER_HOST_MAX) throw new Error(`${pending} handshakes with ${host} are under way`)
    count(this.#unknown, host, 1)
    try {
      return await this.#admit(connection, options)
    } finally {
      count(this.#unknown, host, -1)
    }
  }

  async #admit(connection: MultiaddrConnection, options: ProtectOptions | undefined): Promise<MessageStream> {
    const pending: Pending = { host: hostOf(connection), hasKey: false }
    this.#pending.set(connection.timeline, pending)
    count(this.#pendingOf, pending.host, 1)
    connection.addEventListener('close', ({ error }) => {
      if (!this.#end(connection.timeline)) return
      const reason = reasonOf(pending.hasKey, error)
      if (reason !== undefined) this.#onStranger(pending.host, reason)
    })
    const enciphered = await this.#keys.protect(connection, options)
    pending.hasKey = true
    return enciphered
  }

  /** Whether it was under way. */
  #end(timeline: object): boolean {
    const pending = this.#pending.get(timeline)
    if (pending === undefined) return false
    this.#pending.delete(timeline)
    count(this.#pendingOf, pending.host, -1)
    return true
  }

  /** Not let in although it has a key. */
  refused(connection: MultiaddrConnection, reason: string): void {
    if (this.#end(connection.timeline)) this.#onStranger(hostOf(connection), reason)
  }

  completed(connection: Connection): void {
    this.#end(connection.timeline)
  }
}

function count(counts: Map<string, number>, host: string, change: 1 | -1): void {
  const now = (counts.get(host) ?? 0) + change
  if (now > 0) counts.set(host, now)
  else counts.delete(host)
}

function reasonOf(hasKey: boolean, error: Error | undefined): string | undefined {
  if (error instanceof UnknownKeyError) return 'it has another cluster key'
  if (!hasKey) return INCOMPLETE_REASON
  return error?.message.includes('dial self') === true ? TWIN_REASON : undefined
}

/** `a.b.c.d:port` of a libp2p address. */
export function addressOf(address: { toString(): string }): string {
  const [, , host = 'unknown', , port = '0'] = address.toString().split('/')
  return `${host}:${port}`
}

function hostOf(connection: MultiaddrConnection): string {
  return addressOf(connection.remoteAddr).split(':')[0]!
}
