/**
 * The device to which tc hands frames: a TAP of the TUN/TAP driver with IFF_VNET_HDR, so that source MACs are visible
 * and super-packets of 64 KB pass whole (Linux, Documentation/networking/tuntap.rst).
 */
import { writeFileSync } from 'node:fs'
import { DatapathError } from '../errors.ts'
import * as libc from '../linux/libc.ts'

const TUNSETIFF = 0x400454ca
const TUNSETOFFLOAD = 0x400454d0
const SIOCGIFFLAGS = 0x8913
const SIOCSIFFLAGS = 0x8914
const SIOCGIFHWADDR = 0x8927
const SIOCSIFTXQLEN = 0x8943
const IFF_TAP = 0x0002
const IFF_NO_PI = 0x1000
const IFF_VNET_HDR = 0x4000
/** Never take over a device that somebody made to last (`ip tuntap add`): its settings are his. */
const IFF_TUN_EXCL = 0x8000
const IFF_UP = 1
/** Checksums and TCPv4/v6 segmentation, with ECN, may be left to the reader. */
const TUN_F_CSUM_TSO = 1 | 2 | 4 | 8
const EPERM = 1
const EACCES = 13
const EBUSY = 16
const IFREQ_BYTES = 128
const IFREQ_DATA = 16
/** Frames that may wait for the reader. The driver's 500 overflow within 10 ms of a garbage collection elsewhere. */
const QUEUE_FRAMES = 4_096

export interface Tap {
  fd: number
  mac: Uint8Array
}

/**
 * Creates the device, up and without IPv6.
 * @throws DatapathError E_NO_TUN, E_NOT_ROOT, E_ENGINE (name taken)
 */
export function openTap(name: string): Tap {
  const fd = libc.open('/dev/net/tun', libc.O_RDWR | libc.O_NONBLOCK | libc.O_CLOEXEC)
  if (fd < 0) throw tunError(name, libc.errno())
  const { bytes: request, view, address } = new libc.NativeMemory(IFREQ_BYTES)
  const prepare = (): void => {
    request.fill(0)
    request.set(new TextEncoder().encode(name), 0)
  }
  const check = (result: number): void => {
    if (result >= 0) return
    const code = libc.errno()
    libc.close(fd)
    throw tunError(name, code)
  }
  prepare()
  view.setUint16(IFREQ_DATA, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL, true)
  check(libc.ioctl(fd, TUNSETIFF, address))
  check(libc.ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM_TSO))
  prepare()
  check(libc.ioctl(fd, SIOCGIFHWADDR, address))
  const mac = request.slice(IFREQ_DATA + 2, IFREQ_DATA + 8)
  disableIpv6(name)
  const control = libc.socket(libc.AF_INET, 2 | libc.SOCK_CLOEXEC, 0)
  check(control)
  try {
    prepare()
    view.setInt32(IFREQ_DATA, QUEUE_FRAMES, true)
    check(libc.ioctl(control, SIOCSIFTXQLEN, address))
    prepare()
    check(libc.ioctl(control, SIOCGIFFLAGS, address))
    request[IFREQ_DATA] = request[IFREQ_DATA]! | IFF_UP
    check(libc.ioctl(control, SIOCSIFFLAGS, address))
  } finally {
    libc.close(control)
  }
  return { fd, mac }
}

/** Before the device goes up, or the kernel's router solicitations are the first frames we read. */
function disableIpv6(name: string): void {
  try {
    writeFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, '1')
  } catch {
    // A kernel without IPv6 has no such file.
  }
}

function tunError(name: string, code: number): DatapathError {
  const what = libc.describeErrno(code)
  if (code === EPERM || code === EACCES) {
    return new DatapathError(
      'E_NOT_ROOT',
      `creating the device ${name} is not permitted: ${what}`,
      'Run as root, or with the capabilities CAP_NET_ADMIN and CAP_NET_RAW.',
    )
  }
  if (code === EBUSY) {
    return new DatapathError(
      'E_ENGINE',
      `there is a device ${name} on this host already`,
      'Stop the program that made it, or choose another name under datapath.device.',
    )
  }
  return new DatapathError(
    'E_NO_TUN',
    `the device ${name} cannot be created from /dev/net/tun: ${what}`,
    'Load the driver (modprobe tun), or create the node (mknod /dev/net/tun c 10 200).',
  )
}
