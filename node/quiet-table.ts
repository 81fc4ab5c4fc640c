/**
 * When to look at the socket table of a host that has no flows. The kernel walks its whole table for each look, which
 * costs some 80 ms on a host with much memory; the number of sockets alone it tells at once (/proc/net/sockstat). So
 * while there are no flows the table is read only if that number has changed, and now and then all the same, since one
 * socket may have taken the place of another.
 */
import { readFile } from 'node:fs/promises'

/** Calls between two looks while there are no flows, if the number of sockets has changed; and if it has not. */
const CHANGED_ROUNDS = 10
const UNCHANGED_ROUNDS = 60

export class QuietTable {
  readonly #countSockets: () => Promise<string>
  #established = 0
  #rounds = Infinity
  #sockets = ''

  /** @param countSockets any text that changes with the number of TCP sockets */
  constructor(countSockets: () => Promise<string> = readSocketCounts) {
    this.#countSockets = countSockets
  }

  /** Whether it is time. @param quiet the engine counts no flow that ends here */
  async shouldLook(quiet: boolean): Promise<boolean> {
    this.#rounds++
    if (!quiet || this.#established > 0 || this.#rounds >= UNCHANGED_ROUNDS) return true
    if (this.#rounds % CHANGED_ROUNDS !== 0) return false
    const sockets = await this.#countSockets()
    if (sockets === this.#sockets) return false
    this.#sockets = sockets
    return true
  }

  /** Says what a look has found. */
  looked(established: number): void {
    this.#established = established
    this.#rounds = 0
  }
}

/** `TCP: inuse 12 …` of IPv4 and of IPv6; the rest of the lines is about memory and changes with traffic. */
async function readSocketCounts(): Promise<string> {
  const texts = await Promise.all(
    ['/proc/net/sockstat', '/proc/net/sockstat6'].map((path) => readFile(path, 'latin1').catch(() => '')),
  )
  return (texts.join('\n').match(/^TCP6?: inuse \d+/gmu) ?? []).join(' ')
}
