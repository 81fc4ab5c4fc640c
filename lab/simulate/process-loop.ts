/**
 * One life of a simulated daemon: the event loop through which everything reaches it. A loop that is paused (a stall, a
 * suspended machine) runs nothing; when it goes on, what has come meanwhile is worked off in order. A loop that has
 * ended runs nothing ever again: whatever was on its way to it comes to nobody.
 */
import type { Clock } from '../../gossip/network.ts'
import type { Random } from './random.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** The finest that Node's timers are. */
const TIMER_MS = 1

export class ProcessLoop implements Clock {
  readonly #clock: VirtualClock
  readonly #random: Random
  #ended = false
  #pausedUntilMs = 0
  /** What one input costs, ms. */
  #slowMs = 0
  #busyUntilMs = 0
  /** What came while paused. */
  #inputs: (() => void)[] = []
  #timers: (() => void)[] = []

  constructor(clock: VirtualClock, random: Random) {
    this.#clock = clock
    this.#random = random
  }

  now(): number {
    return this.#clock.now()
  }

  schedule(atMs: number, run: () => void): () => void {
    // As setTimeout: whole milliseconds, at least one. So no rounding error of a deadline can stop time altogether.
    const nowMs = this.#clock.now()
    const dueMs = nowMs + Math.max(TIMER_MS, Math.ceil((atMs - nowMs) / TIMER_MS) * TIMER_MS)
    let wanted = true
    const guarded = (): void => {
      if (wanted) run()
    }
    const takeBack = this.#clock.schedule(dueMs, () => this.#take(guarded, this.#timers))
    return () => {
      wanted = false
      takeBack()
    }
  }

  /** Something from outside has arrived now. */
  input(run: () => void): void {
    this.#take(run, this.#inputs)
  }

  get isPaused(): boolean {
    return this.#pausedUntilMs > this.#clock.now()
  }

  pause(ms: number): void {
    const untilMs = this.#clock.now() + ms
    if (untilMs <= this.#pausedUntilMs) return
    this.#pausedUntilMs = untilMs
    this.#clock.at(untilMs, () => this.#goOn())
  }

  /** From now on each input and timer takes this long, one after the other. 0: no time at all. */
  slow(ms: number): void {
    this.#slowMs = ms
  }

  end(): void {
    this.#ended = true
    this.#inputs = []
    this.#timers = []
  }

  #take(run: () => void, waiting: (() => void)[]): void {
    if (this.#ended) return
    if (this.isPaused) waiting.push(run)
    else this.#work(run)
  }

  #work(run: () => void): void {
    const nowMs = this.#clock.now()
    if (this.#slowMs === 0 && this.#busyUntilMs <= nowMs) {
      run()
      return
    }
    this.#busyUntilMs = Math.max(nowMs, this.#busyUntilMs) + this.#slowMs
    this.#clock.at(this.#busyUntilMs, () => this.#finish(run))
  }

  /** A pause may have begun while this was in hand. */
  #finish(run: () => void): void {
    if (this.#ended) return
    if (this.isPaused) this.#inputs.push(run)
    else run()
  }

  /**
   * Whether late timers or waiting sockets come first depends on where in its loop the process was stopped (libuv: in the
   * poll, as most idle processes, or elsewhere): either happens.
   */
  #goOn(): void {
    if (this.#ended || this.isPaused) return
    const [inputs, timers] = [this.#inputs, this.#timers]
    this.#inputs = []
    this.#timers = []
    const late = this.#random() < 0.5 ? [...timers, ...inputs] : [...inputs, ...timers]
    for (const run of late) this.#take(run, this.#inputs)
  }
}
