/**
 * Turns what schema and rules found into lines for people: `PLACE: KEY is VALUE; WHAT WOULD BE RIGHT`.
 */
import type { z } from 'zod'
import { knownKeys } from './config-schema.ts'
import type { KeyPath, Place } from './config-source.ts'
import type { RuleProblem } from './config-rules.ts'
import type { Problem } from './errors.ts'
import { nearest } from './nearest.ts'

const VALUE_CHARACTERS_MAX = 60

/** Problems of one issue: an issue about unknown keys may name several. */
export function issueProblems(issue: z.core.$ZodIssue, path: KeyPath, tree: unknown, place: Place): Problem[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => unknownKeyProblem(key, path, place))
  }
  const value = valueAt(tree, path)
  const key = keyText(path)
  const what =
    value === undefined ? `${key} is missing` : path.length === 0 ? 'this is no mapping' : `${key} is ${shown(value)}`
  return [{ message: `${place.where(path)}: ${what}`, remedy: issue.message }]
}

export function ruleProblem(found: RuleProblem, tree: unknown, place: Place): Problem {
  const { path, because, remedy } = found
  const value = shown(valueAt(tree, path))
  return { message: `${place.where(path)}: ${keyText(path)} is ${value}, ${because}`, remedy }
}

function unknownKeyProblem(key: string, parent: KeyPath, place: Place): Problem {
  const known = knownKeys(parent)
  const guess = nearest(key, known)
  const path = [...parent, key]
  return {
    message: `${place.whereKey(path)}: ${keyText(path)} is no known key`,
    remedy: guess === undefined ? `use one of ${known.join(', ')}` : `did you mean ${keyText([...parent, guess])}?`,
  }
}

/** `gossip.seeds[0]` */
function keyText(path: KeyPath): string {
  return path
    .map((step, index) => (typeof step === 'number' ? `[${step}]` : `${index === 0 ? '' : '.'}${String(step)}`))
    .join('')
}

function valueAt(tree: unknown, path: KeyPath): unknown {
  let value = tree
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = (value as Record<PropertyKey, unknown>)[step]
  }
  return value
}

function shown(value: unknown): string {
  if (typeof value === 'number') return String(value)
  const text = JSON.stringify(value) ?? String(value)
  return text.length > VALUE_CHARACTERS_MAX ? `${text.slice(0, VALUE_CHARACTERS_MAX)}…` : text
}
