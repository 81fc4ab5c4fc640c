/**
 * The key ring, watched: inbound connections that end before they have shown a key of ours are strangers'. Who has shown
 * one and then gives up is a member on a bad day, unless it is refused for its id. A connection and its socket are
 * recognised by the timeline object they share. Whoever has not shown a key yet costs next to no CPU, but a place among
 * the handshakes under way: nobody gets more than a share of those.
 */
import type { Connection, ConnectionProtector, MessageStream, MultiaddrConnection } from '@libp2p/interface'
import { UnknownKeyError } from './key-ring.ts'
import type { KeyRing, ProtectOptions } from './key-ring.ts'
import { INCOMPLETE_REASON, TWIN_REASON } from './strangers.ts'

/** Inbound handshakes under way at one time; more are hung up on, and come again a little later. */
export const INBOUND_PENDING_MAX = 128
/** Of these, connections of one host that have not shown a key yet. Below the whole, or one stranger could keep all out. */
const UNKNOWN_PER_HOST_MAX = 32

export class HandshakeWatch implements ConnectionProtector {
  readonly #keys: KeyRing
  readonly #onStranger: (address: string, reason: string) => void
  /** Inbound, without a use yet. */
  readonly #pending = new Map<object, 'unknown' | 'has a key'>()
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
    this.#unknown.set(host, unknown + 1)
    try {
      return await this.#admit(connection, options)
    } finally {
      this.#forgetUnknown(host)
    }
  }

  async #admit(connection: MultiaddrConnection, options: ProtectOptions | undefined): Promise<MessageStream> {
    this.#pending.set(connection.timeline, 'unknown')
    connection.addEventListener('close', ({ error }) => {
      const reason = reasonOf(this.#pending.get(connection.timeline), error)
      this.#pending.delete(connection.timeline)
      if (reason !== undefined) this.#onStranger(hostOf(connection), reason)
    })
    const enciphered = await this.#keys.protect(connection, options)
    this.#pending.set(connection.timeline, 'has a key')
    return enciphered
  }

  #forgetUnknown(host: string): void {
    const left = this.#unknown.get(host)! - 1
    if (left > 0) this.#unknown.set(host, left)
    else this.#unknown.delete(host)
  }

  /** Not let in although it has a key. */
  refused(connection: MultiaddrConnection, reason: string): void {
    if (this.#pending.delete(connection.timeline)) this.#onStranger(hostOf(connection), reason)
  }

  completed(connection: Connection): void {
    this.#pending.delete(connection.timeline)
  }
}

function reasonOf(stage: 'unknown' | 'has a key' | undefined, error: Error | undefined): string | undefined {
  if (stage === undefined) return undefined
  if (error instanceof UnknownKeyError) return 'it has another cluster key'
  if (stage === 'unknown') return INCOMPLETE_REASON
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
