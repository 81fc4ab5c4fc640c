/**
 * One daemon at a time changes this host. The lock is flock(2) on a file that only root may open: the kernel lets go of
 * it when its owner dies, however it dies, so a crash leaves nothing to clean up, and no pid has to be believed. (A
 * socket in the abstract namespace would do the same, but every local user could take its name first.)
 */
import { closeSync, fstatSync, mkdirSync, openSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import koffi from 'koffi'
import { DatapathError } from '../errors.ts'

/** From <sys/file.h>; flock itself is in the C library that Node is linked with. */
const LOCK_EX = 2
const LOCK_NB = 4
const EWOULDBLOCK = 11

export interface HostLock {
  /** Removes the file and lets go. */
  release(): void
}

/** @throws DatapathError E_HOST_BUSY if another process holds it. */
export function takeHostLock(runtimeDirectory: string): HostLock {
  const file = join(runtimeDirectory, 'host.lock')
  let descriptor = openLockFile(runtimeDirectory, file)
  const flock = koffi.load(null).func('int flock(int, int)') as (descriptor: number, operation: number) => number
  for (;;) {
    if (flock(descriptor, LOCK_EX | LOCK_NB) !== 0) throw notLocked(descriptor, file)
    // The holder before us removed the file after we had opened it: ours is nobody's any more, and locks nothing.
    if (statSync(file, { throwIfNoEntry: false })?.ino === fstatSync(descriptor).ino) break
    closeSync(descriptor)
    descriptor = openLockFile(runtimeDirectory, file)
  }
  return {
    release: () => {
      rmSync(file, { force: true })
      closeSync(descriptor)
    },
  }
}

function notLocked(descriptor: number, file: string): DatapathError {
  const errno = koffi.errno()
  closeSync(descriptor)
  return new DatapathError(
    'E_HOST_BUSY',
    errno === EWOULDBLOCK ? `another process holds ${file}` : `cannot lock ${file} (errno ${errno})`,
    'One daemon may steer a host. Stop the other one, or give this one a network namespace and a runtimeDirectory of ' +
      'its own.',
  )
}

function openLockFile(runtimeDirectory: string, file: string): number {
  try {
    mkdirSync(runtimeDirectory, { recursive: true, mode: 0o755 })
    return openSync(file, 'a', 0o600)
  } catch (error) {
    throw new DatapathError(
      'E_JOURNAL',
      `cannot open ${file}: ${String(error)}`,
      'The runtimeDirectory must exist or be creatable, and be writable by the daemon.',
      error,
    )
  }
}
