/**
 * The cluster key on the disk: a file that only its owner may read, the same on every node. Its text is the transport's
 * (gossip/cluster-key.ts); here are the file, its mode and the messages that name it.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { parseClusterKey } from '../gossip/cluster-key.ts'
import { NodeError, errnoOf } from './errors.ts'

export { generateClusterKey } from '../gossip/cluster-key.ts'

const FILE_BYTES_MAX = 1_024

export interface ClusterKey {
  /** The file's text in canonical form, for the transport's private network. */
  swarmKey: Uint8Array
  /** The 32 secret bytes themselves, from which other keys of the cluster may be derived. */
  secret: Uint8Array
}

/**
 * Reads a key file that only its owner can read.
 * @throws NodeError E_CLUSTER_KEY_MISSING, E_CLUSTER_KEY_EXPOSED or E_CLUSTER_KEY_INVALID; never shows the secret
 */
export function readClusterKeyFile(path: string): ClusterKey {
  const text = readText(path)
  try {
    const swarmKey = parseClusterKey(text)
    const digits = Buffer.from(swarmKey).toString('latin1').split('\n').at(-1)!
    return { swarmKey, secret: new Uint8Array(Buffer.from(digits, 'hex')) }
  } catch (error) {
    const what = error instanceof Error ? error.message : 'cannot be read'
    throw new NodeError('E_CLUSTER_KEY_INVALID', `${path}: ${what}`, { cause: error })
  }
}

function readText(path: string): string {
  let descriptor: number
  try {
    // A named pipe would hold up the whole daemon until somebody writes to it.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    const errno = errnoOf(error) ?? 'error'
    const what = errno === 'ENOENT' ? `no cluster key at ${path}` : `cannot read the cluster key ${path} (${errno})`
    throw new NodeError('E_CLUSTER_KEY_MISSING', what, { cause: error })
  }
  try {
    // The open file is examined, not the path, which might name another one by now.
    const stats = fstatSync(descriptor)
    if (!stats.isFile()) throw new NodeError('E_CLUSTER_KEY_INVALID', `${path} is no file`)
    const { mode, size } = stats
    if ((mode & 0o077) !== 0) {
      const bits = (mode & 0o777).toString(8).padStart(4, '0')
      throw new NodeError('E_CLUSTER_KEY_EXPOSED', `${path} has mode ${bits}: others than its owner can use it`, {
        remedy: `chmod 600 ${path}; if strangers may have read it, give the cluster a new key`,
      })
    }
    if (size > FILE_BYTES_MAX) {
      throw new NodeError('E_CLUSTER_KEY_INVALID', `${path} has ${size} bytes, a cluster key fewer than 100`)
    }
    return readFileSync(descriptor, 'latin1')
  } finally {
    closeSync(descriptor)
  }
}
