/**
 * A set of IPv4 addresses that a BPF program can look up: the wanted set lives here, and in a kernel map while one is
 * open. Changes go to the map as differences, so an address that stays is never absent for a moment.
 */
import { closeSync } from 'node:fs'
import { isIPv4 } from 'node:net'
import { DatapathError } from '../errors.ts'
import { addKey, createMap, removeKey } from './bpf.ts'

/** The kernel takes memory for entries in use only. */
export const ADDRESS_MAP_ENTRIES_MAX = 4_096

export class AddressMap {
  readonly #name: string
  #wanted = new Set<string>()
  #fd = -1

  /** At most 15 letters, digits, dots and underscores. */
  constructor(name: string) {
    this.#name = name
  }

  /** Makes a new kernel map with the wanted addresses and returns its descriptor; an earlier one is let go. */
  open(): number {
    const fd = createMap(this.#name, ADDRESS_MAP_ENTRIES_MAX)
    this.close()
    this.#fd = fd
    for (const address of this.#wanted) addKey(fd, addressBytes(address))
    return fd
  }

  /**
   * @throws DatapathError E_HOST_PLAN if one is no IPv4 address or there are too many, and nothing has changed then;
   * E_NO_BPF if the kernel refuses, and the next call makes up for it.
   */
  replace(addresses: readonly string[]): void {
    const wanted = new Set(addresses)
    if (wanted.size > ADDRESS_MAP_ENTRIES_MAX) {
      throw new DatapathError(
        'E_HOST_PLAN',
        `${wanted.size} addresses for ${this.#name}, which holds ${ADDRESS_MAP_ENTRIES_MAX}`,
        'Split the cluster, or publish fewer addresses.',
      )
    }
    const added = [...wanted].filter((address) => !this.#wanted.has(address))
    const removed = [...this.#wanted].filter((address) => !wanted.has(address))
    for (const address of added) addressBytes(address)

    // Removal first: a full map has room for the others then.
    for (const address of removed) {
      if (this.#fd >= 0) removeKey(this.#fd, addressBytes(address))
      this.#wanted.delete(address)
    }
    for (const address of added) {
      if (this.#fd >= 0) addKey(this.#fd, addressBytes(address))
      this.#wanted.add(address)
    }
  }

  /** Lets the kernel map go; a loaded program keeps its own reference. The wanted addresses stay. */
  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd)
    this.#fd = -1
  }
}

/**
 * Network order.
 * @throws DatapathError E_HOST_PLAN if it is no IPv4 address.
 */
export function addressBytes(address: string): Uint8Array<ArrayBuffer> {
  if (!isIPv4(address)) {
    throw new DatapathError('E_HOST_PLAN', `${address} is no IPv4 address`, 'Name it as four numbers with dots.')
  }
  return Uint8Array.from(address.split('.'), Number)
}
