/**
 * The signals that ask the daemon to stop in order, and the one that asks it to read keys and lists again. Each is caught
 * for the rest of the process, not once: a second Ctrl-C, or a supervisor that repeats itself, must not cut off the
 * undoing half-way.
 */
import { isatty } from 'node:tty'
import { spaced } from './spaced.ts'

const STOP_SIGNALS = ['SIGTERM', 'SIGINT'] as const
const STANDARD_DESCRIPTORS = [0, 1, 2] as const
/** Each reload reads files and says so in the log: a storm of signals must neither starve the daemon nor fill the disk. */
const RELOAD_EVERY_MS = 500

/** Aborted by the first of them, with its name as the reason. */
export function catchStopSignals(): AbortSignal {
  const stop = new AbortController()
  for (const name of STOP_SIGNALS) process.on(name, () => stop.abort(name))
  // A terminal that closes sends SIGHUP, and must not leave a steered host behind. Node resets what nohup(1) set.
  const hungUp = atTerminal() ? () => stop.abort('SIGHUP') : () => undefined
  process.on('SIGHUP', hungUp)
  return stop.signal
}

/** Called after SIGHUPs from a supervisor, twice a second at most; never at a terminal. */
export function onReload(listener: () => void): void {
  if (!atTerminal()) process.on('SIGHUP', spaced(RELOAD_EVERY_MS, listener))
}

export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

function atTerminal(): boolean {
  return STANDARD_DESCRIPTORS.some((descriptor) => isatty(descriptor))
}
