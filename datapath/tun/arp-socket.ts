/** A packet socket for ARP on one interface. Non-blocking; survives the interface going down and coming back. */
import { DatapathError } from '../errors.ts'
import * as libc from '../linux/libc.ts'

const ETH_P_ARP = 0x0806
/** struct sockaddr_ll: family | protocol (network order) | ifindex | hatype | pkttype | halen | address[8] */
const SOCKADDR_LL_BYTES = 20
const PKTTYPE = 10
const PACKET_HOST = 0
const PACKET_BROADCAST = 1
const FRAME_BYTES_MAX = 256

export class ArpSocket {
  readonly fd: number
  readonly #memory = new libc.NativeMemory(512)
  readonly #bytes = this.#memory.bytes
  readonly #frameAddress: number
  readonly #fromAddress: number
  readonly #fromLengthAddress: number

  /** @throws DatapathError E_NOT_ROOT or E_ENGINE */
  constructor(ifindex: number) {
    const base = this.#memory.address
    this.#frameAddress = base
    this.#fromAddress = base + FRAME_BYTES_MAX
    this.#fromLengthAddress = base + FRAME_BYTES_MAX + 32
    const protocol = ((ETH_P_ARP & 0xff) << 8) | (ETH_P_ARP >> 8)
    this.fd = libc.socket(libc.AF_PACKET, libc.SOCK_RAW | libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC, protocol)
    if (this.fd < 0) throw socketError('an ARP socket', libc.errno())
    const { view } = this.#memory
    view.setUint16(FRAME_BYTES_MAX, libc.AF_PACKET, true)
    view.setUint16(FRAME_BYTES_MAX + 2, ETH_P_ARP, false)
    view.setInt32(FRAME_BYTES_MAX + 4, ifindex, true)
    if (libc.bind(this.fd, this.#fromAddress, SOCKADDR_LL_BYTES) < 0) {
      const code = libc.errno()
      libc.close(this.fd)
      throw socketError(`an ARP socket on interface ${ifindex}`, code)
    }
  }

  /**
   * The next frame for us or for everybody, or undefined when none waits. Frames to other hosts, which a flooding
   * switch or a capture lets through, and our own are passed over.
   */
  receive(): Uint8Array | undefined {
    for (;;) {
      this.#memory.view.setUint32(FRAME_BYTES_MAX + 32, SOCKADDR_LL_BYTES, true)
      const length = libc.recvfrom(
        this.fd,
        this.#frameAddress,
        FRAME_BYTES_MAX,
        libc.MSG_DONTWAIT,
        this.#fromAddress,
        this.#fromLengthAddress,
      )
      // ENETDOWN is reported once when the interface goes down; the socket works again when it is back.
      if (length < 0) return undefined
      const kind = this.#bytes[FRAME_BYTES_MAX + PKTTYPE]
      if (kind === PACKET_HOST || kind === PACKET_BROADCAST) return this.#bytes.slice(0, length)
    }
  }

  send(frame: Uint8Array): boolean {
    this.#bytes.set(frame, 0)
    return libc.send(this.fd, this.#frameAddress, frame.length, libc.MSG_DONTWAIT) === frame.length
  }

  close(): void {
    libc.close(this.fd)
  }
}

export function socketError(what: string, code: number): DatapathError {
  const why = libc.describeErrno(code)
  return code === 1 || code === 13
    ? new DatapathError('E_NOT_ROOT', `opening ${what} is not permitted: ${why}`, 'Run as root, or with CAP_NET_RAW.')
    : new DatapathError('E_ENGINE', `opening ${what} failed: ${why}`, 'See the reason; the interface may be gone.')
}
