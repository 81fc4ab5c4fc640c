/** What the links count, for metrics: numbers only, each grows for ever. */
import type { DialCounters } from './dialler.ts'

interface TrafficCounters {
  framesSent: number
  framesReceived: number
  bytesSent: number
  bytesReceived: number
  /** Not taken by a lane, or nobody to send to. */
  framesDropped: number
  /** Malformed. */
  framesRefused: number
  /** Beyond the sender's rate limit. */
  framesLimited: number
  silentLinks: number
  idleLinks: number
}

export type LinkCounters = TrafficCounters & DialCounters

export function zeroLinkCounters(): TrafficCounters {
  return {
    framesSent: 0,
    framesReceived: 0,
    bytesSent: 0,
    bytesReceived: 0,
    framesDropped: 0,
    framesRefused: 0,
    framesLimited: 0,
    silentLinks: 0,
    idleLinks: 0,
  }
}
