/**
 * A TAP that collects frames, in a few lines of its own, so that these tests do not rest on the engine. It is gone when
 * its process is, as an engine's is.
 */
import { constants, openSync, readSync } from 'node:fs'
import koffi from 'koffi'

/** From <linux/if_tun.h>. */
const TUNSETIFF = 0x400454ca
const IFF_TAP = 0x0002
const IFF_NO_PI = 0x1000
const FRAME_BYTES_MAX = 65_600

export interface Tap {
  /** Every frame that has arrived since the last call, as hex. */
  take(): string[]
}

export function openTap(name: string): Tap {
  const ioctl = koffi.load(null).func('int ioctl(int, unsigned long, void *)') as (
    descriptor: number,
    request: number,
    argument: Buffer,
  ) => number
  const descriptor = openSync('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK)
  const request = Buffer.alloc(40)
  request.write(name, 'latin1')
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI, 16)
  if (ioctl(descriptor, TUNSETIFF, request) !== 0) throw new Error(`TUNSETIFF ${name}: errno ${koffi.errno()}`)
  const buffer = Buffer.alloc(FRAME_BYTES_MAX)
  return {
    take() {
      const frames: string[] = []
      for (;;) {
        let length: number
        try {
          length = readSync(descriptor, buffer)
        } catch (error) {
          if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return frames
          throw error
        }
        frames.push(buffer.toString('hex', 0, length))
      }
    },
  }
}
