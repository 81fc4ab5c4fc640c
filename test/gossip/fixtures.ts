/** Identities, facts and random numbers for the tests of this room: the same in every run. */
import { generateKeyPairFromSeed, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { createSigner } from '../../gossip/identity.ts'
import type { Signer } from '../../gossip/identity.ts'
import type { OwnFacts } from '../../gossip/types.ts'

/** Mulberry32: small, seeded, good enough to schedule with. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The identity of host `index`, as the file on its disk. */
export async function identityOf(index: number): Promise<Uint8Array> {
  const seed = new Uint8Array(32).fill(7)
  new DataView(seed.buffer).setUint32(0, index)
  return privateKeyToProtobuf(await generateKeyPairFromSeed('Ed25519', seed))
}

export async function signerOf(index: number): Promise<Signer> {
  return createSigner(await identityOf(index))
}

export function factsOf(index: number, changes: Partial<OwnFacts> = {}): OwnFacts {
  const address = `10.1.${Math.floor(index / 250)}.${(index % 250) + 1}`
  return {
    name: `h${String(index).padStart(3, '0')}`,
    bootId: `boot-${index}`,
    gossipAddress: address,
    gossipPort: 7600,
    attachments: [{ segment: '10.1.0.0/16', address, mac: '02:00:00:00:00:01', mtu: 1500 }],
    homes: [],
    announces: [],
    accepts: ['10.1.0.101'],
    services: [{ protocol: 'tcp', port: 80, health: 'healthy' }],
    draining: false,
    restartLeaseMs: 0,
    capacity: 1,
    capacityFlows: 1000,
    ...changes,
  }
}
