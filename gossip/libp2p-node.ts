/**
 * The libp2p node under our network: TCP, the cluster's keys, Noise, Yamux, and as little else as possible (no identify,
 * no ping, no connection monitor: probes are our own; no dial queue: it joins dials to one address, and a second dial
 * beside a slow one must be a second connection). Also the translation of its errors into ours.
 */
import { noise } from '@libp2p/noise'
import type {
  Connection,
  ConnectionGater,
  MessageStream,
  MultiaddrConnection,
  PeerId,
  PrivateKey,
  StreamMuxerFactory,
  Transport,
  Upgrader,
} from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { Libp2p } from 'libp2p'
import { GossipError } from './errors.ts'
import { UnknownKeyError } from './key-ring.ts'
import type { KeyAttempt, KeyRing, ProtectOptions } from './key-ring.ts'
import type { DialFailure } from './network.ts'
import { readWithoutThrowing } from './noise-reader.ts'
import { INCOMPLETE_REASON, TWIN_REASON } from './strangers.ts'
import { holdWindowUpdates } from './window-updates.ts'

export interface NodeOptions {
  privateKey: PrivateKey
  keys: KeyRing
  /** Absent: the node only dials. */
  listen?: { address: string; port: number }
  connectionsMax: number
  /** For whatever an inbound connection has to do before it is ready. */
  handshakeMs: number
  /** Whether this peer may be talked to. */
  admits: (id: string) => boolean
  /** An inbound connection was refused, or ended before it had proved that it may come in. */
  onStranger: (address: string, reason: string) => void
}

/** New inbound connections per second and host; a whole lab may sit behind one address. */
const INBOUND_PER_SECOND = 64
/**
 * Inbound handshakes under way at one time; more are hung up on. Each takes some 20 ms of CPU: with more than this on one
 * core none would be done before its time is up, and whoever is refused comes again a little later.
 */
const INBOUND_PENDING_MAX = 32

/** What the node is made of and does not offer. */
interface Inner {
  transport: Transport
  upgrader: Upgrader
}

/** Yamux without pings, for probes are our own, and with few window updates, over a noise that reads cheaply. */
function muxers(): StreamMuxerFactory {
  const inner = yamux({ enableKeepAlive: false })()
  return {
    protocol: inner.protocol,
    createStreamMuxer: (connection) => {
      readWithoutThrowing(connection)
      holdWindowUpdates(connection)
      return inner.createStreamMuxer(connection)
    },
  }
}

/** Made, not started: no socket is open yet. */
export async function createNode(options: NodeOptions): Promise<ClusterNode> {
  const { listen, keys, connectionsMax, handshakeMs } = options
  const watch = new HandshakeWatch(keys, options.onStranger)
  const inner: Partial<Inner> = {}
  const libp2p = await createLibp2p({
    start: false,
    privateKey: options.privateKey,
    addresses: { listen: listen === undefined ? [] : [`/ip4/${listen.address}/tcp/${listen.port}`] },
    transports: [
      (components) => {
        inner.upgrader = components.upgrader
        inner.transport = tcp()(components)
        return inner.transport
      },
    ],
    connectionEncrypters: [noise()],
    streamMuxers: [muxers],
    connectionProtector: () => watch,
    connectionGater: gater(options, watch),
    connectionManager: {
      maxConnections: connectionsMax,
      inboundUpgradeTimeout: handshakeMs,
      outboundStreamProtocolNegotiationTimeout: handshakeMs,
      inboundStreamProtocolNegotiationTimeout: handshakeMs,
      inboundConnectionThreshold: INBOUND_PER_SECOND,
      maxIncomingPendingConnections: INBOUND_PENDING_MAX,
      reconnectRetries: 0,
    },
    connectionMonitor: { enabled: false },
  })
  libp2p.addEventListener('connection:open', (event: CustomEvent<Connection>) => watch.completed(event.detail))
  return new ClusterNode(libp2p, inner as Inner, keys)
}

/** Ids are proved only once a connection is encrypted, so that is where the list counts. */
function gater({ admits }: NodeOptions, watch: HandshakeWatch): ConnectionGater {
  const denies = (peer: PeerId): boolean => !admits(peer.toString())
  return {
    denyDialPeer: denies,
    denyOutboundEncryptedConnection: denies,
    denyInboundEncryptedConnection: (peer, connection) => {
      if (!denies(peer)) return false
      watch.refused(connection, `${peer.toString()} is not on the allow-list`)
      return true
    },
  }
}

export type NodeDialOutcome = { ok: true; connection: Connection } | { ok: false; failure: DialFailure }

export class ClusterNode {
  readonly libp2p: Libp2p
  readonly #inner: Inner
  readonly #keys: KeyRing
  /** The key to begin with at an address, where that is not the first one. */
  readonly #keyFor = new Map<string, Uint8Array>()

  constructor(libp2p: Libp2p, inner: Inner, keys: KeyRing) {
    this.libp2p = libp2p
    this.#inner = inner
    this.#keys = keys
  }

  /** A new connection to `a.b.c.d:port`, with the key that fits. Never rejects. */
  async dial(address: string, signal: AbortSignal): Promise<NodeDialOutcome> {
    // The transport ties the socket to its signal for good: one that fires later would end a connection in use.
    const dialling = new AbortController()
    const expire = (): void => dialling.abort(signal.reason)
    if (signal.aborted) expire()
    signal.addEventListener('abort', expire)
    try {
      return await this.#dial(address, dialling.signal)
    } finally {
      signal.removeEventListener('abort', expire)
    }
  }

  async #dial(address: string, signal: AbortSignal): Promise<NodeDialOutcome> {
    let failure: DialFailure = 'unreachable'
    const keys = this.#keysToTry(address)
    for (const [i, key] of keys.entries()) {
      const attempt: KeyAttempt = { key, greeted: false }
      try {
        const connection = await this.#connect(address, signal, attempt)
        this.#remember(address, key)
        return { ok: true, connection }
      } catch (error) {
        failure = classify(error, attempt.greeted)
      }
      if (failure !== 'key') break
      // Where the misunderstanding took all the time there was, the next dial begins with the next key.
      this.#remember(address, keys[(i + 1) % keys.length]!)
      if (signal.aborted) break
    }
    return { ok: false, failure }
  }

  #connect(address: string, signal: AbortSignal, attempt: KeyAttempt): Promise<Connection> {
    const [host, port] = address.split(':')
    // The options go through the transport and the upgrader to the protector, which looks for the attempt.
    const options: ProtectOptions & { signal: AbortSignal; upgrader: Upgrader } = {
      signal,
      upgrader: this.#inner.upgrader,
      attempt,
    }
    return this.#inner.transport.dial(multiaddr(`/ip4/${host}/tcp/${port}`), options)
  }

  #keysToTry(address: string): readonly Uint8Array[] {
    const { keys } = this.#keys
    const first = Math.max(0, keys.indexOf(this.#keyFor.get(address) ?? keys[0]!))
    return [...keys.slice(first), ...keys.slice(0, first)]
  }

  /** As few as there are addresses that have not followed a change of keys yet. */
  #remember(address: string, key: Uint8Array): void {
    if (key === this.#keys.keys[0]) this.#keyFor.delete(address)
    else if (this.#keyFor.size < KEY_NOTES_MAX) this.#keyFor.set(address, key)
  }
}

const KEY_NOTES_MAX = 2_048

/**
 * With another key everything after the two nonces deciphers to noise. A peer with a key ring hangs up at once; one
 * with plain @libp2p/pnet reads a nonsensical length and hangs up in two cases of three, else it waits until time is
 * up. So a peer that sent its nonce and then said nothing sensible has another key, while one that sent nothing at all
 * is merely stuck.
 */
function classify(error: unknown, greeted: boolean): DialFailure {
  const { code, name, message } = error as { code?: string; name?: string; message?: string }
  if (code === 'ECONNREFUSED') return 'refused'
  if (message?.includes('dial self') === true) return 'self'
  if (name === 'ConnectionInterceptedError') return 'denied'
  return greeted && (name === 'EncryptionFailedError' || name === 'TimeoutError' || name === 'AbortError')
    ? 'key'
    : 'unreachable'
}

/** Starts to listen. Rejects with a GossipError that names the address. */
export async function startNode(
  node: Libp2p,
  listen: { address: string; port: number } = { address: 'none', port: 0 },
): Promise<void> {
  const where = `${listen.address}:${listen.port}`
  try {
    await node.start()
  } catch (error) {
    await Promise.resolve(node.stop()).catch(() => undefined)
    const text = String(error)
    if (text.includes('EADDRINUSE')) {
      throw new GossipError(
        'E_GOSSIP_PORT_IN_USE',
        `the gossip port ${where} is in use`,
        `Stop the other process (\`ss -ltnp 'sport = :${listen.port}'\` names it) or set another gossip.port.`,
        error,
      )
    }
    if (text.includes('EADDRNOTAVAIL')) {
      throw new GossipError(
        'E_GOSSIP_ADDRESS_UNAVAILABLE',
        `the node address ${listen.address} is on no interface of this host`,
        'Set nodeAddress to an address that `ip address` shows on this host.',
        error,
      )
    }
    throw new GossipError(
      'E_GOSSIP_LISTEN',
      `cannot listen on ${where}`,
      'See the cause for what the system said.',
      error,
    )
  }
}

/** `a.b.c.d:port` of a libp2p address. */
export function addressOf(address: { toString(): string }): string {
  const [, , host = 'unknown', , port = '0'] = address.toString().split('/')
  return `${host}:${port}`
}

/**
 * The key ring, watched: inbound connections that end before they have shown a key of ours are strangers'. Who has shown
 * one and then gives up is a member on a bad day, unless it is refused for its id. A connection and its socket are
 * recognised by the timeline object they share.
 */
class HandshakeWatch {
  readonly #keys: KeyRing
  readonly #onStranger: (address: string, reason: string) => void
  /** Inbound, without a use yet. */
  readonly #pending = new Map<object, 'unknown' | 'has a key'>()

  constructor(keys: KeyRing, onStranger: (address: string, reason: string) => void) {
    this.#keys = keys
    this.#onStranger = onStranger
  }

  async protect(stream: MessageStream, options?: ProtectOptions): Promise<MessageStream> {
    const connection = stream as MultiaddrConnection
    if (connection.direction === 'outbound') return this.#keys.protect(stream, options)
    this.#pending.set(connection.timeline, 'unknown')
    connection.addEventListener('close', ({ error }) => {
      const reason = reasonOf(this.#pending.get(connection.timeline), error)
      this.#pending.delete(connection.timeline)
      if (reason !== undefined) this.#onStranger(hostOf(connection), reason)
    })
    const enciphered = await this.#keys.protect(stream, options)
    this.#pending.set(connection.timeline, 'has a key')
    return enciphered
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

function hostOf(connection: MultiaddrConnection): string {
  return addressOf(connection.remoteAddr).split(':')[0]!
}
