/**
 * Files that survive a crash at any instant: written beside the target, flushed to the disk, then renamed over it, and
 * the directory flushed as well (rename(2) alone promises atomicity, not durability). A reader sees the old content or
 * the new one, never a part.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, fchmodSync, fsyncSync, linkSync, openSync, renameSync, rmSync } from 'node:fs'
import { writeFileSync } from 'node:fs'
import { open, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { NodeError, errnoOf } from './errors.ts'

/** What is written beside a file is named after it, with this. */
const TEMPORARY = /^\.[0-9a-f]{12}\.tmp$/u

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

/**
 * The same without blocking the caller's thread: a disk may take a second to flush. Replaces what is there.
 * @throws NodeError E_FILE_UNWRITABLE; then the target is as it was and nothing is left beside it
 */
export async function replaceFileAtomic(path: string, data: string, mode: number): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`
  try {
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(data)
      await file.chmod(mode)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    const directory = await open(dirname(path), 'r')
    try {
      await directory.sync()
    } finally {
      await directory.close()
    }
  } catch (error) {
    throw new NodeError('E_FILE_UNWRITABLE', `cannot write ${path} (${errnoOf(error) ?? 'error'})`, { cause: error })
  } finally {
    await rm(temporary, { force: true })
  }
}

/** Removes what writers of this file left beside it when they were killed. For the only writer of a file, at its start. */
export async function removeHalfWritten(path: string): Promise<void> {
  const [directory, name] = [dirname(path), basename(path)]
  for (const entry of await readdir(directory)) {
    const isLeftover = entry.startsWith(`${name}.`) && TEMPORARY.test(entry.slice(name.length))
    if (isLeftover) await rm(join(directory, entry), { force: true })
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
