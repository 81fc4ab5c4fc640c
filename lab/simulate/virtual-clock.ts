/**
 * Time that passes only when everything due has been done. Events of one moment run in the order in which they were
 * scheduled, so that a run depends on nothing but its inputs. Implements the clock of the seam (gossip/network.ts).
 */
import type { Clock } from '../../gossip/network.ts'

interface Event {
  /** Undefined once it was taken back: it stays in the heap until its time. */
  run: (() => void) | undefined
}

/** Children of a node of the heap. Four make it half as deep as two, and neighbours share cache lines. */
const ARITY = 4
const EVENTS_MIN = 1_024

export class VirtualClock implements Clock {
  /** Events that ran so far: what a simulation costs. */
  ran = 0
  // A heap in three columns: what is compared lies side by side, and of tens of thousands of events few are touched.
  readonly #events: Event[] = []
  #atMs = new Float64Array(EVENTS_MIN)
  #orders = new Float64Array(EVENTS_MIN)
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
      const atMs = this.#atMs[0]!
      if (this.#events.length === 0 || atMs > endMs) break
      const { run } = this.#pop()
      if (run === undefined) continue
      this.#nowMs = atMs
      this.ran++
      run()
      if (until?.() === true) return true
    }
    this.#nowMs = endMs
    return false
  }

  /** What is past is due now. */
  #push(atMs: number, run: () => void): Event {
    const event: Event = { run }
    const events = this.#events
    let place = events.length
    if (place === this.#atMs.length) this.#grow()
    events.push(event)
    const dueMs = atMs > this.#nowMs ? atMs : this.#nowMs
    const times = this.#atMs
    const orders = this.#orders
    while (place > 0) {
      const parent = (place - 1) >> 2
      // Whatever is due at the same time was scheduled before.
      if (times[parent]! <= dueMs) break
      times[place] = times[parent]!
      orders[place] = orders[parent]!
      events[place] = events[parent]!
      place = parent
    }
    times[place] = dueMs
    orders[place] = this.#order++
    events[place] = event
    return event
  }

  /** The first event; there is one. */
  #pop(): Event {
    const events = this.#events
    const times = this.#atMs
    const orders = this.#orders
    const first = events[0]!
    const last = events.pop()!
    const size = events.length
    if (size === 0) return first
    const lastMs = times[size]!
    const lastOrder = orders[size]!
    let place = 0
    for (;;) {
      const children = place * ARITY + 1
      if (children >= size) break
      let least = children
      let leastMs = times[children]!
      const end = Math.min(children + ARITY, size)
      for (let child = children + 1; child < end; child++) {
        const childMs = times[child]!
        if (childMs > leastMs || (childMs === leastMs && orders[child]! > orders[least]!)) continue
        least = child
        leastMs = childMs
      }
      if (leastMs > lastMs || (leastMs === lastMs && orders[least]! >= lastOrder)) break
      times[place] = leastMs
      orders[place] = orders[least]!
      events[place] = events[least]!
      place = least
    }
    times[place] = lastMs
    orders[place] = lastOrder
    events[place] = last
    return first
  }

  #grow(): void {
    const [times, orders] = [this.#atMs, this.#orders]
    this.#atMs = new Float64Array(2 * times.length)
    this.#atMs.set(times)
    this.#orders = new Float64Array(2 * orders.length)
    this.#orders.set(orders)
  }
}
