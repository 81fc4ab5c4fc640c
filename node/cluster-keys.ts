/**
 * The cluster keys that this node accepts: the one it dials with, and others while the key is being changed. And what
 * follows from each: a fingerprint for people, the tag under which the cluster is announced by multicast DNS.
 */
import { createHash } from 'node:crypto'
import { readClusterKeyFile, type ClusterKey } from './cluster-key-file.ts'
import type { Config } from './config-schema.ts'
import { mdnsTag } from './mdns-records.ts'

/** 32 bits tell a handful of keys apart and say nothing about any of them. */
const FINGERPRINT_DIGITS = 8

export interface ClusterKeys {
  /** As the transport wants them; the first is dialled with. */
  contents: readonly Uint8Array[]
  /** In the same order. */
  fingerprints: readonly string[]
  tags: readonly string[]
  /** The 32 bytes of the first. */
  secret: Uint8Array
}

/**
 * Reads every key file of the configuration. A key that two files hold counts once.
 * @throws NodeError E_CLUSTER_KEY_MISSING, E_CLUSTER_KEY_EXPOSED or E_CLUSTER_KEY_INVALID
 */
export function readClusterKeys(config: Pick<Config, 'clusterKeyFile' | 'gossip'>): ClusterKeys {
  const byFingerprint = new Map<string, ClusterKey>()
  for (const path of [config.clusterKeyFile, ...config.gossip.otherClusterKeyFiles]) {
    const key = readClusterKeyFile(path)
    const fingerprint = fingerprintOf(key.secret)
    if (!byFingerprint.has(fingerprint)) byFingerprint.set(fingerprint, key)
  }
  const keys = [...byFingerprint.values()]
  return {
    contents: keys.map(({ swarmKey }) => swarmKey),
    fingerprints: [...byFingerprint.keys()],
    tags: keys.map(({ secret }) => mdnsTag(secret)),
    secret: keys[0]!.secret,
  }
}

function fingerprintOf(secret: Uint8Array): string {
  return createHash('sha256').update(secret).digest('hex').slice(0, FINGERPRINT_DIGITS)
}
