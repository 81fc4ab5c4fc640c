/** Quantities as people read them. */

const SECOND_MS = 1_000
const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const DAY_MS = 86_400_000

/** `120 ms`, `2.3 s`, `5 min`, `3.2 h`, `12 d` */
export function duration(ms: number): string {
  if (ms < SECOND_MS) return `${Math.round(ms)} ms`
  if (ms < MINUTE_MS) return `${(ms / SECOND_MS).toFixed(1)} s`
  if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)} min`
  if (ms < DAY_MS) return `${(ms / HOUR_MS).toFixed(1)} h`
  return `${Math.floor(ms / DAY_MS)} d`
}
