/**
 * The signals that ask the daemon to stop in order. Each is caught for the rest of the process, not once: a second
 * Ctrl-C, or a supervisor that repeats itself, must not cut off the undoing half-way.
 */

/** SIGHUP too: a terminal that closes must not leave a steered host behind. Node resets what nohup(1) set. */
const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

/** Aborted by the first of them, with its name as the reason. */
export function catchStopSignals(): AbortSignal {
  const stop = new AbortController()
  for (const name of STOP_SIGNALS) process.on(name, () => stop.abort(name))
  return stop.signal
}

export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
