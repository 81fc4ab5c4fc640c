/**
 * Who knocks without the key is reported at most once per address and interval: a stranger must not fill the log.
 */

/** Said by a network of somebody with this node's own identity: that is no stranger but a twin. */
export const TWIN_REASON = "it has this node's identity"

/** Said by a network of somebody who hung up before showing a key: a scanner, or a member that was kept waiting. */
export const INCOMPLETE_REASON = 'it did not complete the handshake'

/** Addresses remembered; when they are too many, the oldest report is forgotten first. */
const ADDRESSES_MAX = 1_024

export class Strangers {
  readonly #everyMs: number
  readonly #reportedMs = new Map<string, number>()

  constructor(everyMs: number) {
    this.#everyMs = everyMs
  }

  /** True if this one is to be reported now. */
  shouldReport(address: string, nowMs: number): boolean {
    const last = this.#reportedMs.get(address)
    if (last !== undefined && nowMs - last < this.#everyMs) return false
    this.#reportedMs.delete(address)
    const oldest = this.#reportedMs.size >= ADDRESSES_MAX ? this.#reportedMs.keys().next().value : undefined
    if (oldest !== undefined) this.#reportedMs.delete(oldest)
    this.#reportedMs.set(address, nowMs)
    return true
  }
}
