/** Identities, facts and random numbers for the tests of this room: the same in every run. */
import { generateKeyPairFromSeed, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { createSigner } from '../../gossip/identity.ts'
import type { Signer } from '../../gossip/identity.ts'
import type { OwnFacts } from '../../gossip/types.ts'

export { mulberry32 as seededRandom } from '../../lab/load.ts'

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
