/**
 * Where each value of a configuration comes from: a line of the file, a variable or a flag. The values themselves are
 * one plain tree over which variables and flags have been laid; the messages ask this module for the place.
 */
import { LineCounter, isAlias, isMap, isScalar, isSeq, parseDocument, visit } from 'yaml'
import type { Document, Node } from 'yaml'

export type KeyPath = readonly PropertyKey[]

export interface Place {
  /** `FILE:LINE:COLUMN`, or `from DPR_NAME`, or `from --name`. */
  where(at: KeyPath): string
  /** The same for a key itself instead of its value; the unknown key of a mapping is shown where it stands. */
  whereKey(at: KeyPath): string
}

export interface SourceProblem {
  where: string
  what: string
}

export interface ParsedSource {
  /** The tree of plain values; undefined if the file is empty or broken. */
  value: unknown
  place: Place
  /** Errors of YAML itself. Nothing else can be checked if there is any. */
  problems: SourceProblem[]
}

/** Aliases that stand for aliases: a hand-written file has one or two levels. */
const ALIAS_DEPTH_MAX = 16

export function parseSource(text: string, name: string): ParsedSource {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset)
    return `${name}:${Math.max(1, line)}:${Math.max(1, col)}`
  }
  const problems = document.errors.map((error) => ({
    where: at(error.pos[0]),
    what: `this is no valid YAML (${error.message.replace(/; please use .*$/u, '')})`,
  }))
  const place: Place = {
    where: (path) => at(offsetOf(document, path, 'value')),
    whereKey: (path) => at(offsetOf(document, path, 'key')),
  }
  let value: unknown
  if (problems.length === 0) {
    try {
      value = document.toJS() ?? {}
    } catch (error) {
      // An alias without an anchor, or aliases that would expand without end.
      const why = error instanceof Error ? error.message : 'aliases'
      problems.push({ where: at(danglingAlias(document)), what: `this is no valid YAML (${why})` })
    }
  }
  return { value, place, problems }
}

/** Offset of the deepest part of the path that exists: a missing key is shown at the mapping that lacks it. */
function offsetOf(document: Document, path: KeyPath, wanted: 'key' | 'value'): number {
  let node: unknown = document.contents
  let offset = startOf(node) ?? 0
  for (const [depth, step] of path.entries()) {
    node = followAliases(document, node)
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step))
      if (pair === undefined) return offset
      const isLast = depth === path.length - 1
      const key = startOf(pair.key) ?? offset
      offset = isLast && wanted === 'key' ? key : (startOf(pair.value) ?? key)
      node = pair.value
    } else if (isSeq(node)) {
      const item: unknown = node.items[Number(step)]
      if (item === undefined) return offset
      offset = startOf(item) ?? offset
      node = item
    } else return offset
  }
  return offset
}

/** Where the first alias without an anchor stands, else the beginning. */
function danglingAlias(document: Document): number {
  let offset: number | undefined
  visit(document, {
    Alias(_key, alias) {
      if (alias.resolve(document) !== undefined) return undefined
      offset = startOf(alias)
      return visit.BREAK
    },
  })
  return offset ?? 0
}

function followAliases(document: Document, node: unknown): unknown {
  let target = node
  for (let depth = 0; isAlias(target) && depth < ALIAS_DEPTH_MAX; depth++) target = target.resolve(document)
  return target
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0]
}
