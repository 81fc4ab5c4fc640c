/**
 * oclif's complaints about flags and arguments, in the form of all our errors: one line with a code, naming the wrong
 * word and the nearest right one.
 */
import { stripVTControlCharacters } from 'node:util'
import { Errors } from '@oclif/core'
import { NodeError } from '../node/errors.ts'
import { nearest } from '../node/nearest.ts'

/** The parts of oclif's parse errors that are used here; its classes for them are not exported. */
interface ParseError {
  /** Flags that do not exist, as they were typed. */
  flags?: unknown
  /** Unexpected words, or the specs of missing arguments. */
  args?: unknown
  parse?: { input?: { flags?: Record<string, unknown> } }
}

/**
 * The error to report instead of the given one: itself, unless it is oclif's.
 * @param command words of the command, for the hint at its help
 */
export function asUsageError(error: unknown, command: string): unknown {
  const isComplaint = error instanceof Errors.CLIError && !(error instanceof Errors.ExitError)
  if (!isComplaint || error instanceof Errors.ModuleLoadError) return error
  const { flags, args, parse }: ParseError = error as ParseError
  const help = `dpr ${command} --help lists what it takes`
  if (Array.isArray(flags) && flags.length > 0) {
    return unknownFlags(flags.map(String), Object.keys(parse?.input?.flags ?? {}), command, help)
  }
  if (Array.isArray(args) && args.length > 0) {
    const unexpected = args.filter((arg) => typeof arg === 'string')
    const missing = args.filter(isArgumentSpec).map(({ name }) => name.toUpperCase())
    const what = unexpected.length > 0 ? `unexpected argument ${unexpected.join(' ')}` : `missing ${missing.join(' ')}`
    return new NodeError('E_USAGE', `dpr ${command}: ${what}`, { remedy: help })
  }
  const text = stripVTControlCharacters(error.message).replace(/\s*See more help with --help\s*/u, '')
  return new NodeError('E_USAGE', `dpr ${command}: ${text}`, { remedy: help, cause: error })
}

function unknownFlags(flags: readonly string[], known: readonly string[], command: string, help: string): NodeError {
  const problems = flags.map((typed) => {
    const flag = typed.replace(/=.*$/su, '')
    const guess = nearest(flag.replace(/^-+/u, ''), known)
    return {
      message: `dpr ${command}: unknown flag ${flag}`,
      remedy: guess === undefined ? help : `did you mean --${guess}?`,
    }
  })
  return new NodeError('E_USAGE', `dpr ${command}: unknown flags`, { problems })
}

function isArgumentSpec(arg: unknown): arg is { name: string } {
  return typeof arg === 'object' && arg !== null && 'name' in arg && typeof arg.name === 'string'
}
