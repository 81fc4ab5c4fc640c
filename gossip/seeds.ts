/**
 * Seeds, the addresses known before anybody is. `probeSeeds` asks them, without joining, whether our cluster key fits:
 * a daemon calls it before it touches the host.
 */
import { isInteger, isIpv4 } from './checks.ts'
import { lanConfig } from './config.ts'
import { GossipError } from './errors.ts'
import { Libp2pNetwork } from './libp2p-network.ts'

export interface Seed {
  address: string
  port: number
}

/** Reads `a.b.c.d:port`. Throws GossipError E_GOSSIP_SEED. */
export function parseSeed(text: string): Seed {
  const [address, port, ...rest] = text.split(':')
  const number = Number(port)
  if (!isIpv4(address) || rest.length > 0 || !isInteger(number, 1, 65_535)) {
    throw new GossipError(
      'E_GOSSIP_SEED',
      `the seed "${text}" is no address`,
      'Write it as a.b.c.d:port, say 10.1.0.2:7600.',
    )
  }
  return { address, port: number }
}

export interface SeedOutcome {
  seed: string
  /** `joined`: it speaks with our key, one can join there. */
  outcome: 'joined' | 'refused-key' | 'unreachable'
}

/** A mismatch shows only as a handshake that fails, and a crash looks the same: only repetition tells. */
const TRIES = 3
const TRY_TIMEOUT_MS = 1_000

/** Tries every seed up to three times, all seeds at once; takes at most 3 s. Nothing listens, nobody learns our identity. */
export async function probeSeeds(options: {
  /** Content of the cluster key file. */
  clusterKey?: Uint8Array
  /** Several, in its place: one that fits is enough. */
  clusterKeys?: readonly Uint8Array[]
  seeds: readonly string[]
}): Promise<SeedOutcome[]> {
  const network = await Libp2pNetwork.create({
    clusterKeys: options.clusterKeys ?? (options.clusterKey === undefined ? [] : [options.clusterKey]),
    connectionsMax: Math.max(1, options.seeds.length),
    handshakeMs: TRY_TIMEOUT_MS,
    frameBytesMax: lanConfig().frameBytesMax,
  })
  try {
    await network.start(DEAF)
    return await Promise.all(options.seeds.map(async (seed) => ({ seed, outcome: await tryOften(network, seed) })))
  } finally {
    await network.stop()
  }
}

async function tryOften(network: Libp2pNetwork, seed: string): Promise<SeedOutcome['outcome']> {
  const { address, port } = parseSeed(seed)
  let refused = false
  for (let i = 0; i < TRIES; i++) {
    const answer = await network.knock(`${address}:${port}`, TRY_TIMEOUT_MS)
    if (answer === 'open') return 'joined'
    // A seed that once refused the key and then did not answer has refused the key.
    refused ||= answer === 'key'
  }
  return refused ? 'refused-key' : 'unreachable'
}

const ignore = (): void => undefined
const DEAF = { opened: ignore, frame: ignore, closed: ignore, stranger: ignore }
