/**
 * One daemon per host, where a host is a network namespace: two daemons would steer the same frames to two devices. The
 * lock is a socket in the abstract namespace of unix(7), which belongs to the network namespace and which the kernel
 * frees when its holder dies, however it dies: nothing stale is left to clean up.
 */
import { createServer } from 'node:net'
import { NodeError, errnoOf } from './errors.ts'

const LOCK_NAME = 'dpr-node'

export interface SingleInstance {
  /** Frees the lock. Idempotent. */
  release(): Promise<void>
}

/**
 * Takes the lock for the rest of the process or until `release`. It does not keep the process alive.
 * @throws NodeError E_ALREADY_RUNNING
 */
export async function acquireSingleInstance(name = LOCK_NAME): Promise<SingleInstance> {
  const server = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(lockError(error, name)))
    server.listen({ path: `\0${name}` }, resolve)
  })
  server.unref()
  return {
    release: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
      }),
  }
}

function lockError(error: Error, name: string): Error {
  if (errnoOf(error) !== 'EADDRINUSE') return error
  return new NodeError('E_ALREADY_RUNNING', `another daemon runs on this host (it holds the socket @${name})`, {
    remedy: `use it (dpr status), or stop it first; ss -xlp src unix:@${name} shows its process`,
    cause: error,
  })
}
