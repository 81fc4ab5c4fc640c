/** What passes between the packets benchmark and its two children, each in a network namespace of its own. */
import type { LinkCounts } from './links.ts'

export type PacketMode = 'mac' | 'ipip' | 'local'

/** The engine's child answers each request with one message. */
export type ToEngine = { type: 'setup'; mode: PacketMode; blasterPid: number } | { type: 'sample'; links: boolean }

export type FromEngine = { type: 'ready'; mac: string } | { type: 'sample'; sample: EngineSample }

/** Counters at one moment; they only grow. */
export interface EngineSample {
  /** performance.now() of the child. */
  atMs: number
  flowEntries: number
  packetsLocal: number
  packetsMac: number
  packetsIpip: number
  packetsHeld: number
  /** Dropped by decision or because sending failed, by reason. */
  drops: Record<string, number>
  /** Of the engine's worker thread: time on a core, and time it could have run but had none, ms. */
  workerCpuMs: number
  workerWaitMs: number
  /** Only if asked for: reading them costs processes, which would disturb a run. */
  links?: { eth0: LinkCounts; device: LinkCounts; deliveredPackets: number }
}

/** The blaster's child answers `open` and `blast` with one message each; it says `born` by itself. */
export type ToBlaster = { type: 'open'; mac: string; flows: number } | { type: 'blast'; forMs: number }

export type FromBlaster = { type: 'born' } | { type: 'opened' } | { type: 'blasted'; count: BlastCount }

export interface BlastCount {
  /** Frames that the kernel took. */
  sent: number
  /** Frames that it refused: the receiving side had no room. */
  refused: number
  tookMs: number
}

export const ENGINE_DEVICE = 'dpr0'
export const ENGINE_ADDRESS = '10.1.0.1'
export const PUBLISHED_ADDRESS = '10.1.0.101'
export const SERVICE_PORT = 80
