/**
 * The daemon's configuration: one YAML file, environment variables over it, flags over both, checked once and frozen.
 * A problem names its place (file:line:column, variable or flag), the key, the value and what would be right; all
 * problems are reported together.
 */
import { readFileSync, statSync } from 'node:fs'
import type { z } from 'zod'
import { issueProblems, ruleProblem } from './config-messages.ts'
import { applyOverrides } from './config-overrides.ts'
import type { Environment, FlagValues } from './config-overrides.ts'
import { checkRules } from './config-rules.ts'
import type { Sections } from './config-rules.ts'
import { CONFIG_FILE_DEFAULT, configSchema } from './config-schema.ts'
import type { Config } from './config-schema.ts'
import { parseSource } from './config-source.ts'
import { NodeError, errnoOf } from './errors.ts'
import type { Problem } from './errors.ts'

export type { Config } from './config-schema.ts'

/** A configuration is a few dozen lines; whatever is larger is another file. */
const CONFIG_BYTES_MAX = 1_048_576
/** More problems than this are one problem: the wrong file. */
const PROBLEMS_SHOWN_MAX = 50

export interface LoadConfigInput {
  /** Path of the file; default: DPR_CONFIG, then /etc/dpr/config.yaml. */
  file?: string | undefined
  env: Environment
  flags: FlagValues
}

/**
 * Reads and checks the configuration.
 * @throws NodeError E_CONFIG_MISSING if there is no readable file, E_CONFIG_INVALID with every problem
 */
export function loadConfig({ file, env, flags }: LoadConfigInput): Config {
  const path = file ?? (env['DPR_CONFIG'] || CONFIG_FILE_DEFAULT)
  return parseConfig(readText(path), path, env, flags)
}

/**
 * The pure core.
 * @param name how messages call the text: its path
 * @throws NodeError E_CONFIG_INVALID with every problem
 */
export function parseConfig(text: string, name: string, env: Environment = {}, flags: FlagValues = {}): Config {
  const source = parseSource(text, name)
  if (source.problems.length > 0) {
    const remedy = 'correct the syntax there: spaces for indentation, one colon and a space after each key'
    throw invalid(
      name,
      source.problems.map(({ where, what }) => ({ message: `${where}: ${what}`, remedy })),
    )
  }
  const { value, place } = applyOverrides(source.value, source.place, env, flags)
  const whole = configSchema.safeParse(value)
  const problems = [
    ...firstAtEachPlace(whole.error?.issues ?? []).flatMap((issue) => issueProblems(issue, issue.path, value, place)),
    ...checkRules(wellFormedSections(value)).map((found) => ruleProblem(found, value, place)),
  ]
  if (whole.data === undefined || problems.length > 0) throw invalid(name, problems)
  return deepFreeze(whole.data)
}

/** A value of the wrong type may break further checks that were meant for the right one: a text has a length, too. */
function firstAtEachPlace(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue[] {
  const places = new Map<string, z.core.$ZodIssue>()
  for (const issue of issues) {
    const place = JSON.stringify(issue.path)
    if (!places.has(place)) places.set(place, issue)
  }
  return [...places.values()]
}

/** Every top-level key that is right by itself, defaults included: what the rules can be asked about. */
function wellFormedSections(value: unknown): Sections {
  const given: Record<string, unknown> = typeof value === 'object' && value !== null ? { ...value } : {}
  const sections: Record<string, unknown> = {}
  for (const [key, schema] of Object.entries(configSchema.shape)) {
    const parsed = schema.safeParse(Object.hasOwn(given, key) ? given[key] : undefined)
    if (parsed.success) sections[key] = parsed.data
  }
  return sections
}

function invalid(name: string, problems: readonly Problem[]): NodeError {
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`
  return new NodeError('E_CONFIG_INVALID', `${name}: ${count}`, { problems: problems.slice(0, PROBLEMS_SHOWN_MAX) })
}

function readText(path: string): string {
  try {
    const { size } = statSync(path)
    if (size > CONFIG_BYTES_MAX) {
      throw new NodeError('E_CONFIG_INVALID', `${path} has ${size} bytes, more than ${CONFIG_BYTES_MAX}`, {
        remedy: 'name the configuration file',
      })
    }
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof NodeError) throw error
    const errno = errnoOf(error) ?? 'error'
    const what = errno === 'ENOENT' ? `no configuration file at ${path}` : `cannot read ${path} (${errno})`
    throw new NodeError('E_CONFIG_MISSING', what, { cause: error })
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const child of Object.values(value)) deepFreeze(child)
  return Object.freeze(value)
}
