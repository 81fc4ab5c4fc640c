/**
 * A node's lasting identity: an Ed25519 key whose public half is spelled out in the peer id (libp2p peer id
 * specification: the id of an Ed25519 key is the identity multihash of the key), so that an id alone is enough to check
 * what its owner signed. Signing is synchronous (node:crypto): the core has no room for promises.
 */
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id'
import { GossipError } from './errors.ts'

/** Signs in the name of one id. */
export interface Signer {
  readonly id: string
  /** 64 bytes, RFC 8032. */
  sign(bytes: Uint8Array): Uint8Array
}

/** True if the owner of `id` signed `bytes`. Never throws, whatever the arguments hold. */
export type Verifier = (id: string, bytes: Uint8Array, signature: Uint8Array) => boolean

/** A new identity, as libp2p's protobuf encoding of a private key (68 bytes). Keep it secret, keep it for ever. */
export async function generateIdentity(): Promise<Uint8Array> {
  return privateKeyToProtobuf(await generateKeyPair('Ed25519'))
}

/** Reads what `generateIdentity` made. Throws GossipError E_GOSSIP_IDENTITY. */
export function parseIdentity(bytes: Uint8Array): { id: string; privateKey: Ed25519PrivateKey } {
  const remedy = 'Restore the identity file from a backup, or remove it: the node then starts with a new identity.'
  try {
    const privateKey = privateKeyFromProtobuf(bytes)
    if (privateKey.type !== 'Ed25519') {
      throw new GossipError('E_GOSSIP_IDENTITY', `the identity is a ${privateKey.type} key, not Ed25519`, remedy)
    }
    return { id: peerIdFromPrivateKey(privateKey).toString(), privateKey }
  } catch (error) {
    if (error instanceof GossipError) throw error
    throw new GossipError('E_GOSSIP_IDENTITY', `the identity (${bytes.length} bytes) is no private key`, remedy, error)
  }
}

export function createSigner(identity: Uint8Array): Signer {
  const { id, privateKey } = parseIdentity(identity)
  // libp2p's raw form is seed ‖ public key (RFC 8032); JWK (RFC 8037) wants them apart.
  const seed = privateKey.raw.subarray(0, 32)
  const key = createPrivateKey({
    format: 'jwk',
    key: { kty: 'OKP', crv: 'Ed25519', d: base64url(seed), x: base64url(privateKey.publicKey.raw) },
  })
  return { id, sign: (bytes) => sign(null, bytes, key) }
}

/** Public keys kept parsed; above this the oldest is dropped. More than members we admit. */
const KEYS_KEPT_MAX = 2_048
const publicKeys = new Map<string, KeyObject | undefined>()

export const verifySignature: Verifier = (id, bytes, signature) => {
  const key = publicKeyOf(id)
  return key !== undefined && signature.length === 64 && verify(null, bytes, key, signature)
}

function publicKeyOf(id: string): KeyObject | undefined {
  if (publicKeys.has(id)) return publicKeys.get(id)
  const oldest = publicKeys.size >= KEYS_KEPT_MAX ? publicKeys.keys().next().value : undefined
  if (oldest !== undefined) publicKeys.delete(oldest)
  const key = parsePublicKey(id)
  publicKeys.set(id, key)
  return key
}

function parsePublicKey(id: string): KeyObject | undefined {
  try {
    const peerId = peerIdFromString(id)
    if (peerId.type !== 'Ed25519') return undefined
    return createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x: base64url(peerId.publicKey.raw) } })
  } catch {
    return undefined
  }
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url')
}
