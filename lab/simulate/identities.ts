/**
 * Members made of a seed: their keys, names, addresses and facts. Signatures are real, and so is their verification,
 * but each is verified once for all members, and each record parsed once: a thousand simulated members on one machine
 * would do little else.
 */
import { generateKeyPairFromSeed, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { readFacts } from '../../gossip/facts-signature.ts'
import type { FactsReader } from '../../gossip/facts-signature.ts'
import { createSigner, verifySignature } from '../../gossip/identity.ts'
import type { Signer, Verifier } from '../../gossip/identity.ts'
import type { OwnFacts } from '../../gossip/types.ts'
import { hash32 } from './random.ts'

export const GOSSIP_PORT = 7600
const KEY_SEED_BYTES = 32
/** 10.1.0.1 to 10.1.255.250. */
const ADDRESSES_PER_BLOCK = 250

/** The same for the same seed and number, whatever the size of the cluster. */
export async function signers(seed: number, members: number): Promise<Signer[]> {
  return Promise.all(
    Array.from({ length: members }, async (_, member) => {
      const bytes = new Uint8Array(KEY_SEED_BYTES)
      const view = new DataView(bytes.buffer)
      for (let word = 0; word < KEY_SEED_BYTES / 4; word++)
        view.setUint32(word * 4, hash32(`key ${member} ${word}`, seed))
      return createSigner(privateKeyToProtobuf(await generateKeyPairFromSeed('Ed25519', bytes)))
    }),
  )
}

export function nodeAddressOf(member: number): string {
  return `10.1.${Math.floor(member / ADDRESSES_PER_BLOCK)}.${(member % ADDRESSES_PER_BLOCK) + 1}`
}

export function gossipAddressOf(member: number): string {
  return `${nodeAddressOf(member)}:${GOSSIP_PORT}`
}

export function nameOf(member: number): string {
  return `h${String(member).padStart(4, '0')}`
}

/** A server like any other: one attachment, one service. */
export function factsOf(member: number, boot: number, changes: Partial<OwnFacts> = {}): OwnFacts {
  const address = nodeAddressOf(member)
  const mac = `02:64:70:72:${hexByte(member >> 8)}:${hexByte(member)}`
  return {
    name: nameOf(member),
    bootId: `${nameOf(member)}-boot-${boot}`,
    gossipAddress: address,
    gossipPort: GOSSIP_PORT,
    attachments: [{ segment: '10.1.0.0/16', address, mac, mtu: 1500 }],
    homes: [],
    announces: [],
    accepts: ['10.2.0.1'],
    services: [{ protocol: 'tcp', port: 80, health: 'healthy' }],
    draining: false,
    restartLeaseMs: 0,
    capacity: 1,
    capacityFlows: 1_000,
    ...changes,
  }
}

/** Records and verdicts remembered. Members change theirs a few times a run. */
const REMEMBERED_MAX = 65_536

export function cachedVerifier(): Verifier {
  interface Verified {
    id: string
    bytes: Buffer
    valid: boolean
  }
  // By the very array first: members share the signatures of the records that the reader below hands them.
  const byArray = new WeakMap<Uint8Array, Verified>()
  const byContent = new Map<string, Verified>()
  return (id, bytes, signature) => {
    const isIt = (known: Verified | undefined): known is Verified =>
      known !== undefined && known.id === id && known.bytes.equals(bytes)
    const same = byArray.get(signature)
    if (isIt(same)) return same.valid
    const key = latin1(signature)
    let known = byContent.get(key)
    if (!isIt(known)) {
      known = { id, bytes: Buffer.from(bytes), valid: verifySignature(id, bytes, signature) }
      if (byContent.size < REMEMBERED_MAX) byContent.set(key, known)
    }
    byArray.set(signature, known)
    return known.valid
  }
}

/**
 * Readings are frozen, so that members may share them; and with them the bytes, else kept once for each member, and the
 * ids: what is looked up by the very same string is found without comparing any.
 */
export function cachedReader(ids: readonly string[]): FactsReader {
  const shared = new Map(ids.map((id) => [id, id]))
  const known = new Map<string, { bytes: Buffer; reading: ReturnType<FactsReader> }>()
  // Whoever is told of the same frozen record again, as all are at the start, need not compare it.
  const same = new WeakMap<object, ReturnType<FactsReader>>()
  return (signed) => {
    const met = same.get(signed)
    if (met !== undefined) return met
    const key = latin1(signed.signature)
    const before = known.get(key)
    if (before !== undefined && before.bytes.equals(signed.bytes)) {
      if (Object.isFrozen(signed)) same.set(signed, before.reading)
      return before.reading
    }
    const bytes = Buffer.from(signed.bytes)
    const reading = withSharedId(readFacts(Object.freeze({ bytes, signature: Buffer.from(signed.signature) })), shared)
    if (known.size < REMEMBERED_MAX) known.set(key, { bytes, reading })
    return reading
  }
}

function withSharedId(reading: ReturnType<FactsReader>, shared: ReadonlyMap<string, string>): ReturnType<FactsReader> {
  if (!reading.ok) return reading
  const { parsed, signed } = reading
  const id = shared.get(parsed.facts.id) ?? parsed.facts.id
  return {
    ok: true,
    parsed: { ...parsed, facts: Object.freeze({ ...parsed.facts, id }) },
    signed: Object.freeze(signed),
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

function hexByte(value: number): string {
  return (value & 0xff).toString(16).padStart(2, '0')
}
