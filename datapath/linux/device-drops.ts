/** Frames that the kernel dropped before a device's reader could take them: /proc/net/dev, column "transmit drop". */
import { readFileSync } from 'node:fs'

/** Columns behind the name: 8 of receive, then transmit bytes, packets, errs, drop. */
const TRANSMIT_DROP = 11

/** The text of /proc/net/dev → the device's transmit drops; 0 for a device that is not listed. */
export function parseDeviceDrops(text: string, device: string): number {
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':')
    if (line.slice(0, colon).trim() !== device) continue
    const columns = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
    return Number(columns[TRANSMIT_DROP] ?? 0)
  }
  return 0
}

export function droppedByDevice(device: string): number {
  try {
    return parseDeviceDrops(readFileSync('/proc/net/dev', 'utf8'), device)
  } catch {
    return 0
  }
}
