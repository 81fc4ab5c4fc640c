/** What passes between the engine's control side and its worker. */
import type { AnnounceSchedule } from '../announcer.ts'
import type { FlowEntry } from '../engine.ts'
import type { Snapshot } from '../snapshot.ts'

/** An interface on which packets leave and addresses are announced. */
export interface EngineLink {
  name: string
  ifindex: number
  /** 6 bytes. */
  mac: Uint8Array
  /** Node address on it, IPv4 as an unsigned number. */
  address: number
}

export interface WorkerSetup {
  device: string
  links: EngineLink[]
  flowTableEntries: number
  announce: AnnounceSchedule
  /** 16 bytes. */
  hashKey: Uint8Array
  shared: SharedArrayBuffer
  /** eventfd that wakes the worker when a message waits. */
  wakeFd: number
}

export type ToWorker =
  | { type: 'publish'; snapshot: Snapshot }
  | { type: 'local-established'; count: number }
  | { type: 'export'; request: number; limit: number }
  | { type: 'import'; request: number; flows: FlowEntry[] }
  | { type: 'close' }

export type FromWorker =
  | { type: 'ready' }
  | { type: 'refused'; code: string; message: string; remedy: string }
  | { type: 'exported'; request: number; flows: FlowEntry[] }
  | { type: 'imported'; request: number; taken: number }
