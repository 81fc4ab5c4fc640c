/**
 * Messages that wait for a link which is being made because of them. Few, small and not for long: a message that cannot
 * be sent soon is worth nothing, and the next exchange repairs its loss. Pure: time comes in.
 */
import type { Lane } from './network.ts'

export interface PendingFrame {
  lane: Lane
  frame: Uint8Array
  /** The peer owes an answer to it. */
  owing: boolean
}

interface Queue {
  readonly frames: PendingFrame[]
  bytes: number
  readonly untilMs: number
}

/** Peers waited for at one time. */
export const PENDING_PEERS_MAX = 64
export const PENDING_FRAMES_MAX = 16
export const PENDING_BYTES_MAX = 65_536

export class Pending {
  readonly #waitMs: number
  readonly #queues = new Map<string, Queue>()

  constructor(waitMs: number) {
    this.#waitMs = waitMs
  }

  has(id: string): boolean {
    return this.#queues.has(id)
  }

  /** False: there is no room for it. */
  add(id: string, frame: PendingFrame, nowMs: number): boolean {
    let queue = this.#queues.get(id)
    if (queue === undefined) {
      if (this.#queues.size >= PENDING_PEERS_MAX) return false
      queue = { frames: [], bytes: 0, untilMs: nowMs + this.#waitMs }
      this.#queues.set(id, queue)
    }
    if (queue.frames.length >= PENDING_FRAMES_MAX || queue.bytes + frame.frame.length > PENDING_BYTES_MAX) return false
    queue.frames.push(frame)
    queue.bytes += frame.frame.length
    return true
  }

  /** The frames for this peer, in order; they wait no longer. */
  take(id: string): readonly PendingFrame[] {
    const queue = this.#queues.get(id)
    this.#queues.delete(id)
    return queue?.frames ?? []
  }

  /** Whose wait is over: their frames are gone. */
  expired(nowMs: number): { id: string; frames: number }[] {
    const over: { id: string; frames: number }[] = []
    for (const [id, { untilMs, frames }] of this.#queues) if (nowMs >= untilMs) over.push({ id, frames: frames.length })
    for (const { id } of over) this.#queues.delete(id)
    return over
  }

  get dueMs(): number {
    let dueMs = Infinity
    for (const { untilMs } of this.#queues.values()) dueMs = Math.min(dueMs, untilMs)
    return dueMs
  }

  clear(): void {
    this.#queues.clear()
  }
}
