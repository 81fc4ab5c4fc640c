/** Runs a command in a lab's node as if it had been called directly: same terminal, same signals, same exit code. */
import { once } from 'node:events'
import { exitCode } from './command.ts'
import { LabError } from './errors.ts'
import type { Lab } from './lab.ts'

/** @returns its exit code, 128 + signal number if a signal ended it */
export async function runAttached(lab: Lab, node: string, argv: readonly string[]): Promise<number> {
  if (argv.length === 0) {
    throw new LabError('E_LAB_COMMAND', 'no command is given', 'write it after --, as in `dpr lab exec h1 -- ip addr`')
  }
  const child = lab.spawn(node, argv, 'inherit')
  // A terminal's Ctrl-C reaches the child by itself; TERM and HUP are sent to us alone. Either way we outlive it.
  process.on('SIGINT', () => undefined)
  for (const name of ['SIGTERM', 'SIGHUP'] as const) process.on(name, () => child.kill(name))
  try {
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
    return exitCode(code, signal)
  } catch (cause) {
    throw new LabError('E_LAB_COMMAND', `cannot run ${argv[0]}`, 'check that ip (iproute2) is installed', cause)
  }
}
