/**
 * Files that survive a crash at any instant: written beside the target, flushed to the disk, then renamed over it, and
 * the directory flushed as well (rename(2) alone promises atomicity, not durability). A reader sees the old content or
 * the new one, never a part.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, fchmodSync, fsyncSync, linkSync, openSync, renameSync, rmSync } from 'node:fs'
import { writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { NodeError, errnoOf } from './errors.ts'

export interface AtomicWriteOptions {
  /** Permission bits of the file, whatever the umask. */
  mode: number
  /** Fail with E_FILE_EXISTS instead of replacing a file that is there. */
  exclusive?: boolean
}

/** @throws NodeError E_FILE_UNWRITABLE or E_FILE_EXISTS; then the target is as it was and nothing is left beside it */
export function writeFileAtomic(path: string, data: string | Uint8Array, options: AtomicWriteOptions): void {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`
  try {
    // Opened with 0600 and 'wx': nobody else can read it before its mode is set, nor have put a link there.
    const descriptor = openSync(temporary, 'wx', 0o600)
    try {
      writeFileSync(descriptor, data)
      fchmodSync(descriptor, options.mode)
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    // link(2) fails where rename(2) would replace.
    if (options.exclusive === true) linkSync(temporary, path)
    else renameSync(temporary, path)
    syncDirectory(dirname(path))
  } catch (error) {
    const errno = errnoOf(error) ?? 'error'
    if (errno === 'EEXIST') throw new NodeError('E_FILE_EXISTS', `${path} is there already`, { cause: error })
    throw new NodeError('E_FILE_UNWRITABLE', `cannot write ${path} (${errno})`, { cause: error })
  } finally {
    rmSync(temporary, { force: true })
  }
}

function syncDirectory(path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
