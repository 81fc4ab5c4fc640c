/** Sends whole Ethernet frames: `node send-frames.ts IFINDEX HEX…`, in order. */
import koffi from 'koffi'

/** From <sys/socket.h>. */
const AF_PACKET = 17
const SOCK_RAW = 3

const [ifindex, ...frames] = process.argv.slice(2)
const libc = koffi.load(null)
const socket = libc.func('int socket(int, int, int)') as (domain: number, type: number, protocol: number) => number
const sendto = libc.func('long sendto(int, void *, size_t, int, void *, uint)') as (
  descriptor: number,
  frame: Buffer,
  length: number,
  flags: number,
  address: Buffer,
  addressLength: number,
) => number

const descriptor = socket(AF_PACKET, SOCK_RAW, 0)
// struct sockaddr_ll; only family and interface matter for a raw socket.
const address = Buffer.alloc(20)
address.writeUInt16LE(AF_PACKET, 0)
address.writeInt32LE(Number(ifindex), 4)
for (const hex of frames) {
  const frame = Buffer.from(hex, 'hex')
  const sent = sendto(descriptor, frame, frame.length, 0, address, address.length)
  if (sent !== frame.length) throw new Error(`sendto: ${sent}, errno ${koffi.errno()}`)
}
