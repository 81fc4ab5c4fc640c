/**
 * The entry of `dpr`. Finds the command, lets oclif parse its flags and run it, and turns whatever goes wrong into lines
 * `dpr: E_CODE: what is wrong; what to do` on stderr and the exit code of the error table.
 */
import { extname } from 'node:path'
import { Config, Errors, run, settings } from '@oclif/core'
import { NodeError, errorLines, exitCodeOf } from '../node/errors.ts'
import { VERSION } from '../node/version.ts'
import { COMMANDS, TOPICS } from './commands.ts'
import { resolveRequest } from './request.ts'
import { asUsageError } from './usage-errors.ts'

/** What oclif would read from package.json; here, so that sources and compiled files each name their own modules. */
const PROGRAM = {
  name: 'dpr',
  version: VERSION,
  description: 'Distributed Packet Rewriting: N servers that are their own load balancer.',
  type: 'module',
  oclif: {
    bin: 'dpr',
    topicSeparator: ' ' as const,
    topics: TOPICS,
    commands: {
      strategy: 'explicit' as const,
      target: `./selected-commands${extname(import.meta.filename)}`,
      identifier: 'SELECTED_COMMANDS',
    },
  },
}

const LOAD_OPTIONS = {
  root: import.meta.dirname,
  pjson: PROGRAM,
  ignoreManifest: true,
  userPlugins: false,
  devPlugins: false,
}

async function main(argv: readonly string[]): Promise<void> {
  const request = resolveRequest(Object.keys(COMMANDS), argv)
  // Else oclif looks for a TypeScript loader; Node needs none.
  settings.enableAutoTranspile = false
  switch (request.kind) {
    case 'unknown':
      throw new NodeError('E_USAGE', request.message, { remedy: request.remedy })
    case 'version':
      console.log(`dpr ${VERSION} (Node ${process.versions.node}, ${process.platform}-${process.arch})`)
      return
    case 'help':
      await run(request.argv, LOAD_OPTIONS)
      return
    case 'command':
      await runCommand(request.id, request.argv)
  }
}

async function runCommand(id: string, argv: string[]): Promise<void> {
  const config = await Config.load(LOAD_OPTIONS)
  try {
    await config.runCommand(id, argv)
  } catch (error) {
    throw asUsageError(error, id.replaceAll(':', ' '))
  }
}

/** Never returns: a command that failed may have left sockets or timers open. */
function fail(error: unknown): never {
  if (error instanceof Errors.ExitError) process.exit(error.oclif.exit ?? 1)
  for (const line of errorLines(error)) console.error(line)
  if (process.env['DPR_DEBUG'] === '1') console.error(error)
  process.exit(exitCodeOf(error))
}

await main(process.argv.slice(2)).catch(fail)
