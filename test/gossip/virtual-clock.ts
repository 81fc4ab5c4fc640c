/** The simulator's clock, with what a test wants of it. */
import { VirtualClock as SimulatedClock } from '../../lab/simulate/virtual-clock.ts'

export class VirtualClock extends SimulatedClock {
  /** Runs what is due within the next `ms`. */
  pass(ms: number): void {
    this.run(ms)
  }

  /** Lets time pass, 1 ms at a time, until the condition holds; throws after `withinMs`. Returns how long it took. */
  until(what: string, condition: () => boolean, withinMs = 10_000): number {
    const startMs = this.now()
    while (!condition()) {
      if (this.now() - startMs >= withinMs) throw new Error(`not within ${withinMs} ms: ${what}`)
      this.pass(1)
    }
    return this.now() - startMs
  }
}
