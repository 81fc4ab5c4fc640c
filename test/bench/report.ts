/** How figures are shown: one table a question, the target beside the figure, and a refusal where there is no figure. */
import Table from 'cli-table3'
import { judge, summarize } from './statistics.ts'
import type { Summary, Target } from './statistics.ts'

/** A line of a table. What could not be verified has reasons instead of figures. */
export type Row = { name: string; cells: readonly string[] } | { name: string; refused: readonly string[] }

export interface Section {
  title: string
  /** How it was measured, in a sentence or two. */
  how: string
  /** Column heads after the first, which is the row's name. */
  columns: readonly string[]
  rows: Row[]
  /** What a reader must know before he believes a figure. */
  remarks: string[]
}

/** What a benchmark hands back: what to print, and everything it measured. */
export interface BenchResult {
  sections: Section[]
  raw: unknown
}

export const RATIO_COLUMNS = ['target', 'median', '95 % interval', 'verdict', 'each pair', 'ours', 'reference'] as const

/** The cells under RATIO_COLUMNS. */
export function ratioCells(
  ratios: readonly number[],
  target: Target | undefined,
  ours: string,
  reference: string,
): string[] {
  const summary = summarize(ratios)
  return [...summaryCells(summary, target, ratio), ratios.map(ratio).join(' '), ours, reference]
}

/** Target, median, interval and verdict. */
export function summaryCells(summary: Summary, target: Target | undefined, show: (value: number) => string): string[] {
  const { interval } = summary
  return [
    target === undefined ? '–' : 'atLeast' in target ? `≥ ${show(target.atLeast)}` : `≤ ${show(target.atMost)}`,
    show(summary.median),
    interval === undefined ? 'n too small' : `${show(interval.low)} to ${show(interval.high)}`,
    target === undefined ? '–' : judge(target, summary),
  ]
}

export function ratio(value: number): string {
  return value.toFixed(3)
}

/** Whole, in groups of three digits. */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`
}

export function refusals(sections: readonly Section[]): number {
  return sections.flatMap(({ rows }) => rows).filter((row) => 'refused' in row).length
}

export function renderSection({ title, how, columns, rows, remarks }: Section): string {
  const table = new Table({ head: ['', ...columns], style: { head: [], border: [] } })
  for (const row of rows) table.push([row.name, ...('cells' in row ? row.cells : columns.map(() => 'no figure'))])
  const reasons = rows.flatMap((row) =>
    'refused' in row ? [`  no figure for ${row.name}: ${row.refused.join('; ')}`] : [],
  )
  const notes = remarks.map((remark) => `  note: ${remark}`)
  return [`\n${title}`, how, table.toString(), ...reasons, ...notes].join('\n')
}
