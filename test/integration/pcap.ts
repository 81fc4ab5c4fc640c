/** Captures with tcpdump inside a lab and reads what it wrote (libpcap's file format, microseconds, Ethernet). */
import { readFileSync } from 'node:fs'
import { once } from 'node:events'
import type { Lab } from '../../lab/lab.ts'

const FILE_HEADER_BYTES = 24
const RECORD_HEADER_BYTES = 16
const MAGIC = 0xa1b2c3d4

export interface Frame {
  atUs: number
  destinationMac: string
  sourceMac: string
  etherType: number
  /** The IP packet without Ethernet padding; empty for other frames. */
  ip: Uint8Array
}

/** Starts a capture on a node's interface; the returned function ends it and gives the frames. */
export async function capture(lab: Lab, node: string, file: string, filter: string): Promise<() => Promise<Frame[]>> {
  const argv = [
    'tcpdump',
    '-i',
    'eth0',
    '-n',
    '-s',
    '0',
    '-U',
    '--immediate-mode',
    '-Z',
    'root',
    '-B',
    '16384',
    '-w',
    file,
    ...filter.split(' '),
  ]
  const child = lab.spawn(node, argv, ['ignore', 'ignore', 'pipe'])
  const closed = once(child, 'close')
  let words = ''
  await new Promise<void>((resolve, reject) => {
    child.stderr!.on('data', (chunk: Buffer) => {
      words += chunk.toString()
      if (words.includes('listening on')) resolve()
    })
    child.on('close', () => reject(new Error(`tcpdump: ${words}`)))
  })
  return async () => {
    child.kill('SIGINT')
    await closed
    if (!words.includes('0 packets dropped by kernel')) throw new Error(`the capture is incomplete: ${words}`)
    return readFrames(readFileSync(file))
  }
}

export function readFrames(file: Buffer): Frame[] {
  if (file.readUInt32LE(0) !== MAGIC) throw new Error('not a little-endian microsecond capture')
  const frames: Frame[] = []
  for (let at = FILE_HEADER_BYTES; at + RECORD_HEADER_BYTES <= file.length;) {
    const captured = file.readUInt32LE(at + 8)
    const atUs = file.readUInt32LE(at) * 1_000_000 + file.readUInt32LE(at + 4)
    const bytes = file.subarray(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + captured)
    at += RECORD_HEADER_BYTES + captured
    if (bytes.length < 14) continue
    const etherType = bytes.readUInt16BE(12)
    const ip =
      etherType === 0x0800 ? new Uint8Array(bytes.subarray(14, 14 + bytes.readUInt16BE(16))) : new Uint8Array(0)
    frames.push({ atUs, destinationMac: mac(bytes, 0), sourceMac: mac(bytes, 6), etherType, ip })
  }
  return frames
}

function mac(bytes: Buffer, at: number): string {
  return bytes
    .toString('hex', at, at + 6)
    .match(/../g)!
    .join(':')
}
