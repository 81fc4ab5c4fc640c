/**
 * Work that may be asked for any number of times and is done only so often: at once if the last time is long enough ago,
 * else once at the end of that time. What was asked for last is always heeded.
 */
export function spaced(everyMs: number, work: () => void): () => void {
  let doneMs = -Infinity
  let timer: NodeJS.Timeout | undefined
  const run = (): void => {
    timer = undefined
    doneMs = performance.now()
    work()
  }
  return () => {
    if (timer !== undefined) return
    const inMs = doneMs + everyMs - performance.now()
    if (inMs <= 0) run()
    else timer = setTimeout(run, inMs).unref()
  }
}
