/**
 * Later fragments carry no ports, so they follow the first one (RFC 791, 3.2): (source, destination, id, protocol) →
 * destination, remembered for two seconds in a bounded, direct-mapped table. A collision evicts; a fragment that
 * finds nothing is dropped and counted, and the sender's transport sends it again.
 */
import { sipHash4, type SipKey } from './siphash.ts'

export class FragmentTable {
  readonly #source: Uint32Array
  readonly #destination: Uint32Array
  readonly #idProtocol: Uint32Array
  readonly #where: Int32Array
  readonly #untilMs: Float64Array
  readonly #mask: number
  readonly #key: SipKey
  readonly #lifetimeMs: number

  /** @param slots a power of two */
  constructor(slots: number, lifetimeMs: number, key: SipKey) {
    if (slots < 1 || (slots & (slots - 1)) !== 0) throw new RangeError(`${slots} fragment slots: not a power of two`)
    this.#source = new Uint32Array(slots)
    this.#destination = new Uint32Array(slots)
    this.#idProtocol = new Uint32Array(slots)
    this.#where = new Int32Array(slots)
    this.#untilMs = new Float64Array(slots)
    this.#mask = slots - 1
    this.#key = key
    this.#lifetimeMs = lifetimeMs
  }

  #slot(source: number, destination: number, idProtocol: number): number {
    return sipHash4(this.#key, source, destination, idProtocol, 0) & this.#mask
  }

  /** @param where what `find` shall answer, ≥ 0 */
  remember(source: number, destination: number, id: number, protocol: number, where: number, nowMs: number): void {
    const idProtocol = ((id << 16) | protocol) >>> 0
    const slot = this.#slot(source, destination, idProtocol)
    this.#source[slot] = source
    this.#destination[slot] = destination
    this.#idProtocol[slot] = idProtocol
    this.#where[slot] = where
    this.#untilMs[slot] = nowMs + this.#lifetimeMs
  }

  /** Where the first fragment went, or −1. */
  find(source: number, destination: number, id: number, protocol: number, nowMs: number): number {
    const idProtocol = ((id << 16) | protocol) >>> 0
    const slot = this.#slot(source, destination, idProtocol)
    const known =
      this.#source[slot] === source &&
      this.#destination[slot] === destination &&
      this.#idProtocol[slot] === idProtocol &&
      this.#untilMs[slot]! > nowMs
    return known ? this.#where[slot]! : -1
  }
}
