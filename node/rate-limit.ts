/**
 * Bounds lines that would repeat: garbage from the network, a peer with a wrong key. Per key, one in each interval is
 * admitted, and it says how many were held back before it. Pure: the clock is the caller's.
 */

export interface RateLimiter {
  /**
   * @param key what repeats, such as an event and an address
   * @param nowMs monotonic, ms
   */
  admit(key: string, nowMs: number): Admission
}

export type Admission = { admitted: true; heldBack: number } | { admitted: false }

/**
 * @param intervalMs one admission per key in this time
 * @param keysMax keys remembered; a stranger who invents keys makes the one admitted longest ago be forgotten
 */
export function createRateLimiter(intervalMs: number, keysMax = 1_024): RateLimiter {
  const entries = new Map<string, { admittedAtMs: number; heldBack: number }>()
  return {
    admit(key, nowMs) {
      const entry = entries.get(key)
      if (entry !== undefined && nowMs - entry.admittedAtMs < intervalMs) {
        entry.heldBack++
        return { admitted: false }
      }
      // Deleted and set again: a Map keeps the order of insertion, so its first key was admitted longest ago.
      entries.delete(key)
      if (entries.size >= keysMax) entries.delete(entries.keys().next().value!)
      entries.set(key, { admittedAtMs: nowMs, heldBack: 0 })
      return { admitted: true, heldBack: entry?.heldBack ?? 0 }
    },
  }
}
