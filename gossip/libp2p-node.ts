/**
 * The libp2p node under our transport: TCP, the cluster's pre-shared key, Noise, Yamux, and as little else as possible
 * (no identify, no ping, no connection monitor: probes are our own). Also the translation of its errors into ours.
 */
import { noise } from '@libp2p/noise'
import type { Connection, ConnectionProtector, MessageStream, PrivateKey } from '@libp2p/interface'
import { preSharedKey } from '@libp2p/pnet'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { Libp2p } from 'libp2p'
import { GossipError } from './errors.ts'

export interface NodeOptions {
  privateKey: PrivateKey
  clusterKey: Uint8Array
  /** Absent: the node only dials. */
  listen?: { address: string; port: number }
  connectionsMax: number
  dialTimeoutMs: number
  /** An inbound connection ended before it had proved that it holds the key. */
  onStranger?: (address: string) => void
}

/** Streams of one protocol on one connection; the peer opens one, a second may overlap while it is replaced. */
export const STREAMS_MAX = 2
/** New inbound connections per second and host; a whole lab may sit behind one address. */
const INBOUND_PER_SECOND = 64
/** Handshakes under way at one time. */
const INBOUND_PENDING_MAX = 128
const PARALLEL_DIALS_MAX = 64

/** Made, not started: no socket is open yet. */
export async function createNode(options: NodeOptions): Promise<ClusterNode> {
  const { listen, clusterKey, connectionsMax, dialTimeoutMs } = options
  const watch = new HandshakeWatch(preSharedKey({ psk: clusterKey })(), options.onStranger)
  const libp2p = await createLibp2p({
    start: false,
    privateKey: options.privateKey,
    addresses: { listen: listen === undefined ? [] : [`/ip4/${listen.address}/tcp/${listen.port}`] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux({ enableKeepAlive: false })],
    connectionProtector: () => watch,
    connectionManager: {
      maxConnections: connectionsMax,
      maxParallelDials: PARALLEL_DIALS_MAX,
      dialTimeout: dialTimeoutMs,
      addressDialTimeout: dialTimeoutMs,
      inboundUpgradeTimeout: dialTimeoutMs,
      outboundStreamProtocolNegotiationTimeout: dialTimeoutMs,
      inboundStreamProtocolNegotiationTimeout: dialTimeoutMs,
      inboundConnectionThreshold: INBOUND_PER_SECOND,
      maxIncomingPendingConnections: INBOUND_PENDING_MAX,
      reconnectRetries: 0,
    },
    connectionMonitor: { enabled: false },
  })
  libp2p.addEventListener('connection:open', (event: CustomEvent<Connection>) => watch.completed(event.detail))
  return new ClusterNode(libp2p, watch)
}

/** Why a dial failed, as far as it matters to us. */
export type DialFailure = 'refused' | 'key' | 'self' | 'unreachable'

export type DialOutcome = { ok: true; connection: Connection } | { ok: false; failure: DialFailure }

export class ClusterNode {
  readonly libp2p: Libp2p
  readonly #watch: HandshakeWatch

  constructor(libp2p: Libp2p, watch: HandshakeWatch) {
    this.libp2p = libp2p
    this.#watch = watch
  }

  /** Dials `a.b.c.d:port`; a new connection even if there is one already. Never rejects. */
  async dial(address: string, signal: AbortSignal): Promise<DialOutcome> {
    const [host, port] = address.split(':')
    const target = `/ip4/${host}/tcp/${port}`
    try {
      return { ok: true, connection: await this.libp2p.dial(multiaddr(target), { signal, force: true }) }
    } catch (error) {
      return { ok: false, failure: classify(error, this.#watch.takeGreeting(target)) }
    }
  }
}

/**
 * With another key everything after the two nonces decrypts to noise. The peer reads a nonsensical length from it: it
 * hangs up in two cases of three, and else waits for the rest until time is up. So a peer that sent its nonce and then
 * said nothing sensible has another key, while one that sent nothing at all is merely stuck.
 */
function classify(error: unknown, greeted: boolean): DialFailure {
  const { code, name, message } = error as { code?: string; name?: string; message?: string }
  if (code === 'ECONNREFUSED') return 'refused'
  if (message?.includes('dial self') === true) return 'self'
  return greeted && (name === 'EncryptionFailedError' || name === 'TimeoutError') ? 'key' : 'unreachable'
}

/** Starts to listen. Rejects with a GossipError that names the address. */
export async function startNode(node: Libp2p, listen: { address: string; port: number }): Promise<void> {
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

/**
 * The pre-shared key's protector, watched. Inbound connections that end before they are upgraded are strangers: with
 * another key that is all one ever sees. Of outbound ones it notes whether the peer sent its nonce.
 */
class HandshakeWatch implements ConnectionProtector {
  readonly #inner: ConnectionProtector
  readonly #onStranger: ((address: string) => void) | undefined
  /** Inbound, not yet upgraded. */
  readonly #pending = new Set<string>()
  /** Outbound, nonce received, not yet upgraded. */
  readonly #greeted = new Set<string>()

  constructor(inner: ConnectionProtector, onStranger: ((address: string) => void) | undefined) {
    this.#inner = inner
    this.#onStranger = onStranger
  }

  async protect(connection: MessageStream, options?: { signal?: AbortSignal }): Promise<MessageStream> {
    const address = (connection as Partial<Connection>).remoteAddr?.toString() ?? ''
    if (connection.direction === 'inbound') {
      this.#pending.add(address)
      connection.addEventListener('close', () => {
        if (this.#pending.delete(address)) this.#onStranger?.(hostOf(address))
      })
      return this.#inner.protect(connection, options)
    }
    const shielded = await this.#inner.protect(connection, options)
    this.#greeted.add(address)
    return shielded
  }

  completed(connection: Connection): void {
    const address = withoutPeer(connection.remoteAddr.toString())
    this.#pending.delete(address)
    this.#greeted.delete(address)
  }

  /** Whether the peer at this address sent its nonce to a dial that then failed. */
  takeGreeting(address: string): boolean {
    return this.#greeted.delete(address)
  }
}

function withoutPeer(multiaddr: string): string {
  return multiaddr.split('/p2p/')[0]!
}

function hostOf(multiaddr: string): string {
  return multiaddr.split('/')[2] ?? multiaddr
}
