/**
 * Puts a loaded classifier on the ingress of an interface, and takes it off again: rtnetlink messages by hand, because
 * tc(8) cannot take a program from a descriptor that another process holds. A filter is named by interface, priority
 * and handle; these three and the kind are all that is ever replaced or deleted, so other people's filters are safe.
 * Layouts: linux/rtnetlink.h, linux/pkt_cls.h.
 *
 *     nlmsghdr 16: length u32, type u16, flags u16, sequence u32, port u32
 *     tcmsg    20: family u8, pad 3, ifindex s32, handle u32, parent u32, priority u16 and protocol be16 in one u32
 *     attributes:  length u16 (with its header of 4), type u16, value, padded to 4
 */
import { closeSync } from 'node:fs'
import { getSystemErrorMessage } from 'node:util'
import koffi from 'koffi'

/** Fixed by the kernel's ABI. */
const AF_NETLINK = 16
const SOCK_RAW = 3
const SOCK_CLOEXEC = 0o2000000
const NETLINK_ROUTE = 0
const SOL_NETLINK = 270
const NETLINK_CAP_ACK = 10
const NETLINK_EXT_ACK = 11
const MSG_DONTWAIT = 0x40
const RTM_NEWTFILTER = 44
const RTM_DELTFILTER = 45
const NLM_F_REQUEST = 0x001
const NLM_F_ACK = 0x004
const NLM_F_ACK_TLVS = 0x200
const NLM_F_CREATE = 0x400
const NLMSG_ERROR = 2
const NLMSGERR_ATTR_MSG = 1
const TC_H_CLSACT_INGRESS = 0xfffffff2
const ETH_P_IP = 0x0800
const TCA_KIND = 1
const TCA_OPTIONS = 2
const TCA_BPF_FD = 6
const TCA_BPF_NAME = 7
const TCA_BPF_FLAGS = 8
const TCA_BPF_FLAG_ACT_DIRECT = 1
const NLA_F_NESTED = 0x8000

const KIND = 'bpf'
const HANDLE = 1
const REPLY_BYTES = 4_096

export interface FilterPlace {
  ifindex: number
  priority: number
}

/** What the kernel answered: errno (0 = done), and why, in its own words where it gives them. */
export interface Answer {
  errno: number
  reason: string
}

const libc = koffi.load(null)
const socket = libc.func('socket', 'int', ['int', 'int', 'int']) as (...args: number[]) => number
const setsockopt = libc.func('setsockopt', 'int', ['int', 'int', 'int', 'void *', 'uint32']) as (
  fd: number,
  level: number,
  option: number,
  value: Uint8Array,
  bytes: number,
) => number
type Transfer = (fd: number, buffer: Uint8Array, bytes: number, flags: number) => number
const send = libc.func('send', 'long', ['int', 'void *', 'size_t', 'int']) as Transfer
const recv = libc.func('recv', 'long', ['int', 'void *', 'size_t', 'int']) as Transfer

/** Attaches with direct action, for untagged IPv4 frames; a filter of ours that is already there is replaced at once. */
export function putFilter(place: FilterPlace, programFd: number, name: string): Answer {
  return request(encodePut(place, programFd, name))
}

export function removeFilter(place: FilterPlace): Answer {
  return request(encodeRemove(place))
}

export function encodePut(place: FilterPlace, programFd: number, name: string): Buffer {
  const options = [
    attribute(TCA_BPF_FD, word(programFd)),
    attribute(TCA_BPF_NAME, text(name)),
    attribute(TCA_BPF_FLAGS, word(TCA_BPF_FLAG_ACT_DIRECT)),
  ]
  return encode(RTM_NEWTFILTER, NLM_F_CREATE, place, [
    attribute(TCA_KIND, text(KIND)),
    attribute(TCA_OPTIONS | NLA_F_NESTED, Buffer.concat(options)),
  ])
}

export function encodeRemove(place: FilterPlace): Buffer {
  return encode(RTM_DELTFILTER, 0, place, [attribute(TCA_KIND, text(KIND))])
}

/** Reads the kernel's NLMSG_ERROR: -errno, the request's header, then (NETLINK_EXT_ACK) attributes with the reason. */
export function decodeAnswer(reply: Buffer): Answer {
  if (reply.length < 36 || reply.readUInt16LE(4) !== NLMSG_ERROR) throw new Error('rtnetlink gave no acknowledgement')
  const errno = Math.abs(reply.readInt32LE(16))
  const end = Math.min(reply.length, reply.readUInt32LE(0))
  let at = (reply.readUInt16LE(6) & NLM_F_ACK_TLVS) === 0 ? end : 36
  while (at + 4 <= end) {
    const bytes = reply.readUInt16LE(at)
    if (bytes < 4 || at + bytes > end) break
    if (reply.readUInt16LE(at + 2) === NLMSGERR_ATTR_MSG) {
      return { errno, reason: reply.toString('latin1', at + 4, at + bytes - 1) }
    }
    at += (bytes + 3) & ~3
  }
  return { errno, reason: describe(errno) }
}

/** rtnetlink handles a request inside send(), so its acknowledgement is there when send() returns. */
function request(message: Buffer): Answer {
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)
  if (fd < 0) return lastError()
  try {
    // Older kernels lack these two and then give no reason; the acknowledgement itself stays the same.
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, word(1), 4)
    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, word(1), 4)
    if (send(fd, message, message.length, 0) < 0) return lastError()
    const reply = Buffer.alloc(REPLY_BYTES)
    const bytes = recv(fd, reply, reply.length, MSG_DONTWAIT)
    if (bytes < 0) return lastError()
    return decodeAnswer(reply.subarray(0, bytes))
  } finally {
    closeSync(fd)
  }
}

function lastError(): Answer {
  const errno = koffi.errno()
  return { errno, reason: describe(errno) }
}

function describe(errno: number): string {
  return errno === 0 ? '' : getSystemErrorMessage(-errno)
}

function encode(type: number, flags: number, place: FilterPlace, attributes: Buffer[]): Buffer {
  const head = Buffer.alloc(36)
  head.writeUInt16LE(type, 4)
  head.writeUInt16LE(NLM_F_REQUEST | NLM_F_ACK | flags, 6)
  head.writeInt32LE(place.ifindex, 20)
  head.writeUInt32LE(HANDLE, 24)
  head.writeUInt32LE(TC_H_CLSACT_INGRESS, 28)
  head.writeUInt16BE(ETH_P_IP, 32)
  head.writeUInt16LE(place.priority, 34)
  const message = Buffer.concat([head, ...attributes])
  message.writeUInt32LE(message.length, 0)
  return message
}

function attribute(type: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc(4 + ((value.length + 3) & ~3))
  bytes.writeUInt16LE(4 + value.length, 0)
  bytes.writeUInt16LE(type, 2)
  value.copy(bytes, 4)
  return bytes
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`, 'latin1')
}
