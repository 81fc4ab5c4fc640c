/**
 * Moves the calling thread into a network namespace of its own. Threads and processes that it starts from then on are
 * in it too, so a test may create devices without touching the machine's network; the kernel removes the namespace
 * with its last thread.
 */
import koffi from 'koffi'

const CLONE_NEWNET = 0x40000000
const unshare: (flags: number) => number = koffi.load('libc.so.6').func('unshare', 'int', ['int'])

export function enterOwnNetworkNamespace(): void {
  if (unshare(CLONE_NEWNET) !== 0) throw new Error(`unshare(CLONE_NEWNET) failed, errno ${koffi.errno()}: not root?`)
}
