/** Turns the signals that end a command, and a reader that went away, into an AbortSignal: labs clean up first. */

export function endSignal(): AbortSignal {
  const controller = new AbortController()
  const end = () => controller.abort()
  // `on`, not `once`: an impatient second Ctrl-C must not cut the clean-up short.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, end)
  for (const stream of [process.stdout, process.stderr]) stream.on('error', end)
  return controller.signal
}
