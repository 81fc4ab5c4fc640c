/**
 * What a command line asks for, decided from its words alone, before any command is loaded: a command, help, the
 * version, or nothing that exists. oclif then runs it; it would find commands itself, but only by loading them all.
 */
import { nearest } from '../node/nearest.ts'

export type Request =
  | { kind: 'command'; id: string; argv: string[] }
  /** Help for all commands, or those of a topic, or one; `argv` as oclif is to see it. */
  | { kind: 'help'; argv: string[]; ids: string[] }
  | { kind: 'version' }
  | { kind: 'unknown'; message: string; remedy: string }

const HELP_FLAGS = new Set(['--help', '-h'])
const VERSION_FLAGS = new Set(['--version', '-v'])

/** @param ids of all commands, words separated by colons */
export function resolveRequest(ids: readonly string[], argv: readonly string[]): Request {
  const first = argv[0]
  if (first === undefined) return { kind: 'help', argv: ['--help'], ids: [...ids] }
  if (VERSION_FLAGS.has(first)) return { kind: 'version' }
  if (first === 'help') return resolveRequest(ids, [...argv.slice(1).filter((word) => !HELP_FLAGS.has(word)), '--help'])
  const words = leadingWords(argv)
  const helpWanted = beforeDashes(argv).some((word) => HELP_FLAGS.has(word))
  if (words.length === 0) return helpWanted ? { kind: 'help', argv: ['--help'], ids: [...ids] } : misplacedFlag(first)

  const id = longestId(ids, words)
  if (id !== undefined) {
    if (helpWanted) return { kind: 'help', argv: [id, '--help'], ids: [id] }
    return { kind: 'command', id, argv: argv.slice(id.split(':').length) }
  }
  const topic = words.join(':')
  const below = ids.filter((candidate) => candidate.startsWith(`${topic}:`))
  if (below.length > 0 && (helpWanted || argv.length === words.length)) {
    return { kind: 'help', argv: [topic, '--help'], ids: below }
  }
  return below.length > 0 ? incomplete(words, below) : unknownCommand(ids, words)
}

/** The commands that must be loaded for it. */
export function neededIds(request: Request): string[] {
  if (request.kind === 'command') return [request.id]
  return request.kind === 'help' ? request.ids : []
}

function leadingWords(argv: readonly string[]): string[] {
  const end = argv.findIndex((word) => word.startsWith('-'))
  return argv.slice(0, end === -1 ? argv.length : end)
}

function beforeDashes(argv: readonly string[]): readonly string[] {
  const end = argv.indexOf('--')
  return end === -1 ? argv : argv.slice(0, end)
}

function longestId(ids: readonly string[], words: readonly string[]): string | undefined {
  for (let length = words.length; length > 0; length--) {
    const id = words.slice(0, length).join(':')
    if (ids.includes(id)) return id
  }
  return undefined
}

function misplacedFlag(flag: string): Request {
  return {
    kind: 'unknown',
    message: `${flag} stands before any command`,
    remedy: `put flags after the command, as in dpr COMMAND ${flag}; dpr --help lists the commands`,
  }
}

function incomplete(words: readonly string[], below: readonly string[]): Request {
  const topic = words.join(' ')
  const commands = below.map((id) => `dpr ${spaced(id)}`)
  return { kind: 'unknown', message: `dpr ${topic} needs a command`, remedy: `use ${commands.join(' or ')}` }
}

function unknownCommand(ids: readonly string[], words: readonly string[]): Request {
  const known = ids.map(spaced)
  // `node strat --name x` resembles a command of two words; `perrs x` one of one, with an argument after it.
  const guess = nearest(words.slice(0, 2).join(' '), known) ?? nearest(words[0]!, known)
  return {
    kind: 'unknown',
    message: `unknown command "${words.slice(0, guess?.includes(' ') === false ? 1 : 2).join(' ')}"`,
    remedy: guess === undefined ? 'dpr --help lists the commands' : `did you mean dpr ${guess}?`,
  }
}

function spaced(id: string): string {
  return id.replaceAll(':', ' ')
}
