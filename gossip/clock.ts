/** The real clock behind the seam of network.ts. */
import type { Clock } from './network.ts'

/** Longest delay that setTimeout takes; beyond it would fire at once. */
const DELAY_MAX_MS = 2 ** 31 - 1

/**
 * `now`: monotonic, ms. One that goes on while the host is suspended (CLOCK_BOOTTIME) lets a node notice that it slept;
 * its timers then come late by the time of the sleep, as after any other stall.
 */
export function realClock(now: () => number = () => performance.now()): Clock {
  return {
    now,
    schedule: (atMs, run) => {
      const timer = setTimeout(run, Math.min(DELAY_MAX_MS, Math.max(0, Math.ceil(atMs - now()))))
      return () => clearTimeout(timer)
    },
  }
}
