/**
 * Messages for one sendmmsg(2): the header structs live in one buffer whose pointers are written once, so that queueing
 * a packet stores a few numbers and allocates nothing.
 *
 *   struct mmsghdr (64 bytes): name | namelen | iov | iovlen | control | controllen | flags | sent length
 *   struct iovec (16 bytes): base | length; two per message (headers and payload may lie apart)
 */
import * as libc from '../linux/libc.ts'

const MMSGHDR_BYTES = 64
const IOVEC_BYTES = 16
const IOVECS = 2

export class SendBatch {
  readonly capacity: number
  /** Socket addresses, `addressBytes` per message, to be filled by the owner before `add`. */
  readonly addresses: Uint8Array
  readonly addressBytes: number
  /** Messages that the kernel refused for want of space, and for any other reason; the owner resets them. */
  queueFull = 0
  failed = 0
  count = 0

  readonly #words: Uint32Array
  readonly #headersAddress: number
  readonly #iovecWord: number

  constructor(capacity: number, addressBytes: number) {
    this.capacity = capacity
    this.addressBytes = addressBytes
    const iovecsAt = capacity * MMSGHDR_BYTES
    const addressesAt = iovecsAt + capacity * IOVECS * IOVEC_BYTES
    const memory = new libc.NativeMemory(addressesAt + capacity * addressBytes)
    this.#words = new Uint32Array(memory.bytes.buffer, 0, addressesAt / 4)
    this.addresses = memory.bytes.subarray(addressesAt)
    this.#iovecWord = iovecsAt / 4
    const base = memory.address
    this.#headersAddress = base
    for (let i = 0; i < capacity; i++) {
      const word = (i * MMSGHDR_BYTES) / 4
      this.#pointer(word, base + addressesAt + i * addressBytes)
      this.#words[word + 2] = addressBytes
      this.#pointer(word + 4, base + iovecsAt + i * IOVECS * IOVEC_BYTES)
    }
  }

  get full(): boolean {
    return this.count === this.capacity
  }

  /** Queues one message of one or two pieces, given by memory address and length. The batch must not be full. */
  add(base: number, bytes: number, base2 = 0, bytes2 = 0): void {
    const i = this.count++
    const iovec = this.#iovecWord + (i * IOVECS * IOVEC_BYTES) / 4
    this.#pointer(iovec, base)
    this.#words[iovec + 2] = bytes
    this.#pointer(iovec + 4, base2)
    this.#words[iovec + 6] = bytes2
    this.#words[(i * MMSGHDR_BYTES) / 4 + 6] = bytes2 > 0 ? 2 : 1
  }

  /** Sends all that is queued; what the kernel does not take is counted and dropped. */
  flush(fd: number): void {
    let sent = 0
    while (sent < this.count) {
      const taken = libc.sendmmsg(fd, this.#headersAddress + sent * MMSGHDR_BYTES, this.count - sent, libc.MSG_DONTWAIT)
      if (taken > 0) {
        sent += taken
        continue
      }
      const code = libc.errno()
      if (code === libc.EINTR) continue
      if (code === libc.EAGAIN || code === libc.ENOBUFS) this.queueFull++
      else this.failed++
      sent++
    }
    this.count = 0
  }

  #pointer(word: number, address: number): void {
    this.#words[word] = address >>> 0
    this.#words[word + 1] = Math.floor(address / 0x1_0000_0000)
  }
}
