/**
 * The system calls of the tun engine, through an FFI (koffi) and without C of our own.
 *
 * Buffers are passed as plain numbers (addresses below 2^47 fit a double exactly), so that a call allocates nothing;
 * they come from `NativeMemory` only, because an address does not keep a buffer alive.
 * Every descriptor is opened close-on-exec: the guard must not inherit a device and keep it alive.
 */
import koffi from 'koffi'

const libc = koffi.load('libc.so.6')

/** Fixed by the kernel's ABI (x86-64 and arm64). */
export const O_RDWR = 2
export const O_NONBLOCK = 0o4000
export const O_CLOEXEC = 0o2000000
export const EINTR = 4
export const EAGAIN = 11
export const ENOBUFS = 105
export const POLLIN = 1
export const AF_INET = 2
export const AF_PACKET = 17
export const SOCK_RAW = 3
export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000
export const IPPROTO_RAW = 255
export const SOL_SOCKET = 1
export const SOL_PACKET = 263
export const SO_SNDBUFFORCE = 32
export const PACKET_VNET_HDR = 15
export const MSG_DONTWAIT = 0x40
const CLOCK_BOOTTIME = 7

type Call<A extends number[]> = (...args: A) => number

export const open: (path: string, flags: number) => number = libc.func('open', 'int', ['str', 'int'])
export const close: Call<[fd: number]> = libc.func('close', 'int', ['int'])
export const read: Call<[fd: number, buffer: number, bytes: number]> = libc.func('read', 'int', [
  'int',
  'uintptr_t',
  'size_t',
])
export const write: Call<[fd: number, buffer: number, bytes: number]> = libc.func('write', 'int', [
  'int',
  'uintptr_t',
  'size_t',
])
/** `argument` is the address of a buffer, or the value itself where the request says so. */
export const ioctl: Call<[fd: number, request: number, argument: number]> = libc.func('ioctl', 'int', [
  'int',
  'ulong',
  'uintptr_t',
])
export const poll: Call<[fds: number, count: number, timeoutMs: number]> = libc.func('poll', 'int', [
  'uintptr_t',
  'ulong',
  'int',
])
export const socket: Call<[domain: number, type: number, protocol: number]> = libc.func('socket', 'int', [
  'int',
  'int',
  'int',
])
export const bind: Call<[fd: number, address: number, bytes: number]> = libc.func('bind', 'int', [
  'int',
  'uintptr_t',
  'uint32',
])
export const setsockopt: Call<[fd: number, level: number, name: number, value: number, bytes: number]> = libc.func(
  'setsockopt',
  'int',
  ['int', 'int', 'int', 'uintptr_t', 'uint32'],
)
export const recvfrom: Call<
  [fd: number, buffer: number, bytes: number, flags: number, address: number, addressBytes: number]
> = libc.func('recvfrom', 'int', ['int', 'uintptr_t', 'size_t', 'int', 'uintptr_t', 'uintptr_t'])
export const send: Call<[fd: number, buffer: number, bytes: number, flags: number]> = libc.func('send', 'int', [
  'int',
  'uintptr_t',
  'size_t',
  'int',
])
export const sendmmsg: Call<[fd: number, messages: number, count: number, flags: number]> = libc.func(
  'sendmmsg',
  'int',
  ['int', 'uintptr_t', 'uint32', 'int'],
)
export const eventfd: Call<[initial: number, flags: number]> = libc.func('eventfd', 'int', ['uint32', 'int'])
const clockGettime: Call<[clock: number, timespec: number]> = libc.func('clock_gettime', 'int', ['int', 'uintptr_t'])
const strerror: (errno: number) => string = libc.func('strerror', 'str', ['int'])

/** errno of the calling thread's last failed call. */
export function errno(): number {
  return koffi.errno()
}

export function describeErrno(code: number): string {
  return strerror(code)
}

/** V8 keeps small buffers on its own heap and moves them; those of this size and above it does not. */
const UNMOVED_BYTES_MIN = 128
/** A reference from JavaScript is all that keeps a buffer's memory; an address alone would outlive it. */
const kept: ArrayBuffer[] = []

/**
 * Memory whose address may be given to the kernel: it never moves, and is never freed while its thread lives. Make one
 * per purpose and use it again; each call of the constructor costs its size for good.
 */
export class NativeMemory {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly view: DataView
  readonly address: number

  constructor(size: number) {
    const buffer = new ArrayBuffer(Math.max(size, UNMOVED_BYTES_MIN))
    kept.push(buffer)
    this.bytes = new Uint8Array(buffer)
    this.view = new DataView(buffer)
    this.address = Number(koffi.address(buffer))
  }
}

const timespec = new NativeMemory(16)

/** CLOCK_BOOTTIME in ms: monotonic, counts suspended time, the same for every process and thread of the host. */
export function boottimeMs(): number {
  clockGettime(CLOCK_BOOTTIME, timespec.address)
  const { view } = timespec
  const seconds = view.getUint32(0, true) + view.getInt32(4, true) * 0x1_0000_0000
  return seconds * 1_000 + view.getUint32(8, true) / 1_000_000
}
