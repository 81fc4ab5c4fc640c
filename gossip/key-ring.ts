/**
 * The pre-shared keys under every connection, as a libp2p connection protector. On the wire it is libp2p's "Private
 * Networks" version 1: each end sends a nonce, then everything is enciphered with XSalsa20 under the key and the
 * sender's nonce. Unlike @libp2p/pnet it holds several keys on one port, so that a key can be changed without a gap:
 *
 *     1. every member accepts old and new     [old, new]
 *     2. every member dials with the new      [new, old]
 *     3. every member drops the old           [new]
 *
 * The dialler uses the first key, or the one that it is told to try. The listener recognises the key: the dialler's
 * first words are always the header of multistream-select, so the right key is the one that deciphers them.
 */
import { timingSafeEqual } from 'node:crypto'
import type { ConnectionProtector, Logger, MessageStream, MultiaddrConnection } from '@libp2p/interface'
import { AbstractMultiaddrConnection, byteStream } from '@libp2p/utils'
import type { SendResult } from '@libp2p/utils'
import xsalsa20 from 'xsalsa20'
import { parseClusterKey } from './cluster-key.ts'
import { GossipError } from './errors.ts'
import type { DialStage } from './network.ts'

/** Set by the specification. */
const NONCE_BYTES = 24
/** What both ends say first (multistream-select 1.0): the length of the line, the line. */
const FIRST_WORDS = Buffer.from('\x13/multistream/1.0.0\n', 'latin1')
/** Keys in use at one time. Two are needed for a rotation. */
export const KEYS_MAX = 4
/** For a peer that says nothing, where the caller sets no limit of its own. */
const HANDSHAKE_MS = 1_000
/** A dialler has this long to show a key. It takes next to no CPU, so that even a busy member manages. */
const SHOW_KEY_MS = 3_000

/** One dial: which key it uses, and what became of it. */
export interface KeyAttempt {
  readonly key: Uint8Array
  readonly progress: (stage: DialStage) => void
  /** The peer has sent its nonce. */
  greeted: boolean
  /** What it said next made sense: it has the key. */
  understood: boolean
}

export interface ProtectOptions {
  signal?: AbortSignal
  attempt?: KeyAttempt
}

/** The dialler's key is none of ours. */
export class UnknownKeyError extends Error {
  override readonly name = 'UnknownKeyError'
}

export class KeyRing implements ConnectionProtector {
  #keys: readonly Uint8Array[]
  /** By the timeline object, which a connection shares with the socket it is made of. */
  readonly #keyOf = new WeakMap<object, Uint8Array>()

  /** Contents of key files. Throws GossipError. */
  constructor(contents: readonly Uint8Array[]) {
    this.#keys = parseKeys(contents)
  }

  /** Throws GossipError. Connections that were made with a key that is gone go on; see `isCurrent`. */
  setKeys(contents: readonly Uint8Array[]): void {
    const keys = parseKeys(contents)
    // The same objects for the same keys: connections refer to them.
    this.#keys = keys.map((key) => this.#keys.find((held) => timingSafeEqual(held, key)) ?? key)
  }

  /** The first is the one to dial with. */
  get keys(): readonly Uint8Array[] {
    return this.#keys
  }

  /** Whether the key of this connection is still in use. */
  isCurrent(connection: { timeline: object }): boolean {
    const key = this.#keyOf.get(connection.timeline)
    return key === undefined || this.#keys.includes(key)
  }

  /** How many of these connections use each key, in the order of `keys`. */
  countByKey(connections: Iterable<{ timeline: object }>): number[] {
    const counts = this.#keys.map(() => 0)
    for (const { timeline } of connections) {
      const index = this.#keys.indexOf(this.#keyOf.get(timeline) ?? this.#keys[0]!)
      if (index !== -1) counts[index]!++
    }
    return counts
  }

  async protect(stream: MessageStream, options: ProtectOptions = {}): Promise<MessageStream> {
    const connection = stream as MultiaddrConnection
    const { attempt } = options
    const isDialler = connection.direction === 'outbound'
    if (isDialler) attempt?.progress('accepted')
    const limit = options.signal ?? AbortSignal.timeout(HANDSHAKE_MS)
    const signal = isDialler ? limit : AbortSignal.any([limit, AbortSignal.timeout(SHOW_KEY_MS)])
    const localNonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES))
    const bytes = byteStream(connection)
    const [received] = await Promise.all([
      bytes.read({ bytes: NONCE_BYTES, signal }),
      bytes.write(localNonce, { signal }),
    ])
    const remoteNonce = received.subarray()
    let key = attempt?.key ?? this.#keys[0]!
    let firstWords: Uint8Array | undefined
    if (!isDialler) {
      firstWords = (await bytes.read({ bytes: FIRST_WORDS.length, signal })).subarray()
      key = this.#recognise(firstWords, remoteNonce)
    } else if (attempt !== undefined) attempt.greeted = true
    this.#keyOf.set(connection.timeline, key)
    const log = connection.log.newScope('key-ring')
    return new Enciphered({
      below: bytes.unwrap(),
      log,
      key,
      localNonce,
      remoteNonce,
      received: firstWords,
      attempt: isDialler ? attempt : undefined,
    })
  }

  /** The key under which these are a dialler's first words. All are tried, so that time tells nothing about which. */
  #recognise(enciphered: Uint8Array, nonce: Uint8Array): Uint8Array {
    let found: Uint8Array | undefined
    for (const key of this.#keys) {
      const cipher = xsalsa20(nonce, key)
      if (timingSafeEqual(cipher.update(enciphered), FIRST_WORDS)) found = key
      cipher.finalize()
    }
    if (found === undefined) throw new UnknownKeyError('the dialler has another key')
    return found
  }
}

function parseKeys(contents: readonly Uint8Array[]): Uint8Array[] {
  if (contents.length === 0 || contents.length > KEYS_MAX) {
    throw new GossipError(
      'E_GOSSIP_CLUSTER_KEY',
      `there are ${contents.length} cluster keys`,
      `Name 1 to ${KEYS_MAX}: the one to dial with first, then those that others may still use.`,
    )
  }
  return contents.map((content) => {
    const lines = Buffer.from(parseClusterKey(content)).toString('latin1').split('\n')
    return new Uint8Array(Buffer.from(lines[2]!, 'hex'))
  })
}

interface EncipheredInit {
  below: MultiaddrConnection
  log: Logger
  key: Uint8Array
  localNonce: Uint8Array
  remoteNonce: Uint8Array
  /** Read already. */
  received: Uint8Array | undefined
  /** To be told whether the peer has the key. */
  attempt: KeyAttempt | undefined
}

class Enciphered extends AbstractMultiaddrConnection {
  readonly #below: MultiaddrConnection
  readonly #incoming: ReturnType<typeof xsalsa20>
  readonly #outgoing: ReturnType<typeof xsalsa20>
  #attempt: KeyAttempt | undefined
  #over = false

  constructor({ below, log, key, localNonce, remoteNonce, received, attempt }: EncipheredInit) {
    super({ log, remoteAddr: below.remoteAddr, direction: below.direction })
    this.#below = below
    this.#incoming = xsalsa20(remoteNonce, key)
    this.#outgoing = xsalsa20(localNonce, key)
    this.#attempt = attempt
    if (received !== undefined) this.#take(received)
    below.addEventListener('message', ({ data }) => {
      if (data instanceof Uint8Array) this.#take(data)
      else for (const part of data) this.#take(part)
    })
    below.addEventListener('drain', () => this.safeDispatchEvent('drain'))
    below.addEventListener('close', ({ error, local }) => {
      if (error === undefined) this.onTransportClosed()
      else if (local === true) this.abort(error)
      else this.onRemoteReset()
      this.#wipe()
    })
  }

  override sendData(data: { subarray(): Uint8Array; byteLength: number }): SendResult {
    const sentBytes = data.byteLength
    if (this.#over) return { sentBytes, canSendMore: false }
    return { sentBytes, canSendMore: this.#below.send(this.#outgoing.update(data.subarray())) }
  }

  override async sendClose(options?: { signal?: AbortSignal }): Promise<void> {
    await this.#below.close(options)
  }

  override sendReset(error: Error): void {
    this.#below.abort(error)
  }

  override sendPause(): void {
    this.#below.pause()
  }

  override sendResume(): void {
    this.#below.resume()
  }

  #take(data: Uint8Array): void {
    if (this.#over) return
    const plain = this.#incoming.update(data)
    if (this.#attempt !== undefined) this.#judge(this.#attempt, plain)
    this.onData(plain)
  }

  /** A wrong key makes noise of the first words. A segment may end within them. */
  #judge(attempt: KeyAttempt, plain: Uint8Array): void {
    this.#attempt = undefined
    const length = Math.min(plain.length, FIRST_WORDS.length)
    attempt.understood = FIRST_WORDS.compare(plain, 0, length, 0, length) === 0
    if (attempt.understood) attempt.progress('answered')
  }

  /** The ciphers live in a memory of their own, which nobody else gives back. */
  #wipe(): void {
    if (this.#over) return
    this.#over = true
    this.#incoming.finalize()
    this.#outgoing.finalize()
  }
}
