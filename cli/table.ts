/**
 * Tables as plain text: columns apart by two spaces, no frames, nothing that a script would have to strip.
 */
import Table from 'cli-table3'

const FRAME_PARTS = [
  'top',
  'top-mid',
  'top-left',
  'top-right',
  'bottom',
  'bottom-mid',
  'bottom-left',
  'bottom-right',
  'left',
  'left-mid',
  'mid',
  'mid-mid',
  'right',
  'right-mid',
] as const

const NO_FRAME = { ...Object.fromEntries(FRAME_PARTS.map((part) => [part, ''])), middle: '  ' }

export interface Column {
  title: string
  align?: 'left' | 'right'
}

/** Without columns' titles there is no head. Ends without a newline; no line ends in spaces. */
export function textTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const hasHead = columns.some(({ title }) => title !== '')
  const table = new Table({
    ...(hasHead ? { head: columns.map(({ title }) => title) } : {}),
    colAligns: columns.map(({ align }) => align ?? 'left'),
    chars: NO_FRAME,
    // cli-table3 colours heads and frames unless told not to.
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  })
  table.push(...rows.map((row) => [...row]))
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
}
