/**
 * The libp2p node under our network: TCP, the cluster's keys, Noise, Yamux, and as little else as possible (no identify,
 * no ping, no connection monitor: probes are our own; no dial queue: it joins dials to one address, and a second dial
 * beside a slow one must be a second connection). Also the translation of its errors into ours.
 */
import { noise } from '@libp2p/noise'
import type {
  Connection,
  ConnectionGater,
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
import { HandshakeWatch, INBOUND_PENDING_MAX } from './handshake-watch.ts'
import type { KeyAttempt, KeyRing, ProtectOptions } from './key-ring.ts'
import type { DialFailure, DialStage } from './network.ts'
import { readWithoutThrowing } from './noise-reader.ts'
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
  async dial(
    address: string,
    signal: AbortSignal,
    progress: (stage: DialStage) => void = () => undefined,
  ): Promise<NodeDialOutcome> {
    // The transport ties the socket to its signal for good: one that fires later would end a connection in use.
    const dialling = new AbortController()
    const expire = (): void => dialling.abort(signal.reason)
    if (signal.aborted) expire()
    signal.addEventListener('abort', expire)
    try {
      return await this.#dial(address, dialling.signal, progress)
    } finally {
      signal.removeEventListener('abort', expire)
    }
  }

  async #dial(address: string, signal: AbortSignal, progress: (stage: DialStage) => void): Promise<NodeDialOutcome> {
    let failure: DialFailure = 'unreachable'
    const keys = this.#keysToTry(address)
    for (const [i, key] of keys.entries()) {
      const attempt: KeyAttempt = { key, progress, greeted: false, understood: false }
      try {
        const connection = await this.#connect(address, signal, attempt)
        this.#remember(address, key)
        return { ok: true, connection }
      } catch (error) {
        failure = classify(error, attempt)
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
 * up. So a peer that sent its nonce and then said nothing sensible has another key, while one that sent nothing at all,
 * or something sensible, is merely stuck.
 */
function classify(error: unknown, { greeted, understood }: KeyAttempt): DialFailure {
  const { code, name, message } = error as { code?: string; name?: string; message?: string }
  if (code === 'ECONNREFUSED') return 'refused'
  if (message?.includes('dial self') === true) return 'self'
  if (name === 'ConnectionInterceptedError') return 'denied'
  return greeted &&
    !understood &&
    (name === 'EncryptionFailedError' || name === 'TimeoutError' || name === 'AbortError')
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
