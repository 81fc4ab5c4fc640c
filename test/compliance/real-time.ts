/** How a suite waits when time is real: by polling, against a deadline. */
const POLL_MS = 5
const DEADLINE_MS = 10_000

const pass = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

export const realTime = {
  pass,
  until: async (what: string, condition: () => boolean, withinMs = DEADLINE_MS): Promise<void> => {
    const startMs = performance.now()
    while (!condition()) {
      if (performance.now() - startMs > withinMs) throw new Error(`not within ${withinMs} ms: ${what}`)
      await pass(POLL_MS)
    }
  },
}
