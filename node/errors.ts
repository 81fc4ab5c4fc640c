/**
 * The error class of node/ and cli/, and how any error becomes what the operator sees: one line on stderr for each
 * problem, `dpr: E_CODE: what is wrong; what to do`, and an exit code.
 */
import { ERROR_CODES, isErrorCode } from './error-codes.ts'
import type { ErrorCode } from './error-codes.ts'

/** One thing that is wrong, where an error reports several at once (configuration). */
export interface Problem {
  /** What is wrong, with its place: a clause without a full stop. */
  message: string
  remedy: string
}

export interface NodeErrorOptions {
  /** Overrides the table's remedy. */
  remedy?: string
  cause?: unknown
  /** Every problem, at least one; the error's own message then only sums them up. */
  problems?: readonly Problem[]
}

/** An operating fault. Its code, exit code and default remedy are those of the table in error-codes.ts. */
export class NodeError extends Error {
  readonly code: ErrorCode
  readonly remedy: string
  readonly exitCode: number
  readonly problems: readonly Problem[]

  constructor(code: ErrorCode, message: string, options: NodeErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'NodeError'
    this.code = code
    this.remedy = options.remedy ?? ERROR_CODES[code].remedy
    this.exitCode = ERROR_CODES[code].exitCode
    this.problems = options.problems ?? [{ message, remedy: this.remedy }]
  }
}

/** The exit code for any thrown value: by its code where the table knows it, whatever its class; else 1. */
export function exitCodeOf(error: unknown): number {
  return ERROR_CODES[codeOf(error)].exitCode
}

/** The lines for stderr, one for each problem. */
export function errorLines(error: unknown): string[] {
  const code = codeOf(error)
  return problemsOf(error, code).map(({ message, remedy }) => `dpr: ${code}: ${oneLine(message)}; ${oneLine(remedy)}`)
}

/** The `code` of a system error (ENOENT, EACCES, …), if it is one. */
export function errnoOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : undefined
}

function codeOf(error: unknown): ErrorCode {
  const code = errnoOf(error)
  return isErrorCode(code) ? code : 'E_INTERNAL'
}

function problemsOf(error: unknown, code: ErrorCode): readonly Problem[] {
  if (error instanceof NodeError) return error.problems
  const message = error instanceof Error ? error.message || error.name : String(error)
  const remedy = error instanceof Error && 'remedy' in error && typeof error.remedy === 'string' ? error.remedy : ''
  return [{ message, remedy: remedy || ERROR_CODES[code].remedy }]
}

/** Messages of other programs may span lines; a log collector must still see one line per problem. */
function oneLine(text: string): string {
  return text
    .split(/\s*[\r\n]+\s*/u)
    .filter((line) => line !== '')
    .join(' | ')
    .replace(/[.;]$/u, '')
}
