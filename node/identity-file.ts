/**
 * The node's lasting identity: a private key that outlives restarts, since a member that came back under another id
 * would be a stranger to its peers. What the bytes mean is gossip's affair; here they are only kept.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeDirectory } from './directory.ts'
import { NodeError, errnoOf } from './errors.ts'
import { writeFileAtomic } from './atomic-file.ts'

const IDENTITY_FILE = 'identity.key'
const IDENTITY_BYTES_MAX = 4_096

export interface Identity {
  /** The private key, in the form in which `generate` returned it. */
  key: Uint8Array
  path: string
  /** true if it was made just now: this node has never been a member under it. */
  created: boolean
}

/**
 * Loads the key of the state directory, or has one made and keeps it (mode 0600, on the disk before this resolves).
 * @throws NodeError E_IDENTITY_INVALID if the file is there but unusable: it is never replaced silently;
 *   E_FILE_UNWRITABLE if a new one cannot be kept
 */
export async function loadOrCreateIdentity(
  stateDirectory: string,
  generate: () => Promise<Uint8Array>,
): Promise<Identity> {
  const path = join(stateDirectory, IDENTITY_FILE)
  const present = readIdentity(path)
  if (present !== undefined) return { key: present, path, created: false }
  const key = await generate()
  makeDirectory(stateDirectory, 0o700)
  writeFileAtomic(path, key, { mode: 0o600, exclusive: true })
  return { key, path, created: true }
}

function readIdentity(path: string): Uint8Array | undefined {
  let descriptor: number
  try {
    // A named pipe would hold up the start until somebody writes to it.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return undefined
    throw new NodeError('E_IDENTITY_INVALID', `cannot read ${path} (${errnoOf(error) ?? 'error'})`, { cause: error })
  }
  try {
    const stats = fstatSync(descriptor)
    if (!stats.isFile()) throw new NodeError('E_IDENTITY_INVALID', `${path} is no file`)
    const { mode, size } = stats
    if ((mode & 0o077) !== 0) {
      const bits = (mode & 0o777).toString(8).padStart(4, '0')
      throw new NodeError('E_IDENTITY_INVALID', `${path} has mode ${bits}: others could pose as this node`, {
        remedy: `chmod 600 ${path}, or remove it if strangers may have read it: the node then joins as a new member`,
      })
    }
    if (size === 0 || size > IDENTITY_BYTES_MAX) {
      throw new NodeError('E_IDENTITY_INVALID', `${path} has ${size} bytes, not 1 to ${IDENTITY_BYTES_MAX}`)
    }
    return new Uint8Array(readFileSync(descriptor))
  } finally {
    closeSync(descriptor)
  }
}
