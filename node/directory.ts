/**
 * `mkdir -p` with a message for the operator. Node's own recursive mkdir never returns where the kernel answers ENOENT
 * for a directory whose parent is there, as /proc does; this one goes up the path once and no further.
 */
import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { NodeError, errnoOf } from './errors.ts'

/**
 * Makes a directory and those above it that are missing, all with the same mode (less the umask).
 * @throws NodeError E_FILE_UNWRITABLE that names the directory that cannot be made
 */
export function makeDirectory(path: string, mode: number): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return
  const parent = dirname(path)
  if (parent !== path) makeDirectory(parent, mode)
  try {
    mkdirSync(path, { mode })
  } catch (error) {
    const errno = errnoOf(error) ?? 'error'
    // Made by somebody else in between: what was wanted.
    if (errno === 'EEXIST' && statSync(path).isDirectory()) return
    throw new NodeError('E_FILE_UNWRITABLE', `cannot create ${path} (${errno})`, { cause: error })
  }
}
