/**
 * Time that passes only when everything due has been done. Events of one moment run in the order in which they were
 * scheduled, so that a run depends on nothing but its inputs. Implements the clock of the seam (gossip/network.ts).
 */
import type { Clock } from '../../gossip/network.ts'

interface Event {
  readonly atMs: number
  readonly order: number
  /** Undefined once it was taken back: it stays in the heap until its time. */
  run: (() => void) | undefined
}

/** Children of a node of the heap. Four make it half as deep as two, and neighbours share cache lines. */
const ARITY = 4

export class VirtualClock implements Clock {
  /** Events that ran so far: what a simulation costs. */
  ran = 0
  readonly #heap: Event[] = []
  #nowMs = 0
  #order = 0

  now(): number {
    return this.#nowMs
  }

  schedule(atMs: number, run: () => void): () => void {
    const event = this.#push(atMs, run)
    return () => {
      event.run = undefined
    }
  }

  /** As `schedule`, for what is never taken back. */
  at(atMs: number, run: () => void): void {
    this.#push(atMs, run)
  }

  /** Runs until the condition holds after an event (then true), or until `ms` have passed (then false). */
  run(ms: number, until?: () => boolean): boolean {
    const endMs = this.#nowMs + ms
    if (until?.() === true) return true
    for (;;) {
      const event = this.#heap[0]
      if (event === undefined || event.atMs > endMs) break
      this.#pop()
      const { run } = event
      if (run === undefined) continue
      this.#nowMs = event.atMs
      this.ran++
      run()
      if (until?.() === true) return true
    }
    this.#nowMs = endMs
    return false
  }

  /** What is past is due now. */
  #push(atMs: number, run: () => void): Event {
    const event: Event = { atMs: atMs > this.#nowMs ? atMs : this.#nowMs, order: this.#order++, run }
    const heap = this.#heap
    let place = heap.length
    heap.push(event)
    while (place > 0) {
      const parent = (place - 1) >> 2
      const above = heap[parent]!
      if (!isBefore(event, above)) break
      heap[place] = above
      place = parent
    }
    heap[place] = event
    return event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    const size = heap.length
    if (size === 0) return
    let place = 0
    for (;;) {
      const first = place * ARITY + 1
      if (first >= size) break
      let least = first
      const end = Math.min(first + ARITY, size)
      for (let child = first + 1; child < end; child++) if (isBefore(heap[child]!, heap[least]!)) least = child
      if (!isBefore(heap[least]!, last)) break
      heap[place] = heap[least]!
      place = least
    }
    heap[place] = last
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
