/**
 * Seeds, the addresses known before anybody is. `probeSeeds` asks them, without joining, whether our cluster key fits:
 * a daemon calls it before it touches the host.
 */
import { generateKeyPair } from '@libp2p/crypto/keys'
import { isInteger, isIpv4 } from './checks.ts'
import { parseClusterKey } from './cluster-key.ts'
import { GossipError } from './errors.ts'
import { createNode } from './libp2p-node.ts'

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
export async function probeSeeds(options: { clusterKey: Uint8Array; seeds: string[] }): Promise<SeedOutcome[]> {
  const node = await createNode({
    privateKey: await generateKeyPair('Ed25519'),
    clusterKey: parseClusterKey(options.clusterKey),
    connectionsMax: Math.max(1, options.seeds.length),
    dialTimeoutMs: TRY_TIMEOUT_MS,
  })
  await node.libp2p.start()
  const tryOnce = async (seed: string): Promise<SeedOutcome['outcome']> => {
    const { address, port } = parseSeed(seed)
    const dialled = await node.dial(`${address}:${port}`, AbortSignal.timeout(TRY_TIMEOUT_MS))
    if (dialled.ok) return 'joined'
    return dialled.failure === 'key' ? 'refused-key' : 'unreachable'
  }
  try {
    return await Promise.all(
      options.seeds.map(async (seed) => {
        let outcome: SeedOutcome['outcome'] = 'unreachable'
        for (let i = 0; i < TRIES && outcome !== 'joined'; i++) {
          const latest = await tryOnce(seed)
          // A seed that once refused the key and then did not answer has refused the key.
          if (latest !== 'unreachable' || outcome === 'unreachable') outcome = latest
        }
        return { seed, outcome }
      }),
    )
  } finally {
    await node.libp2p.stop()
  }
}
