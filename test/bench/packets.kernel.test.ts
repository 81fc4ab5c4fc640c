/** The packets benchmark on the kernel: every frame is accounted for, on every way, however busy the machine is. */
import { expect, it } from 'vitest'
import { cellFigures, cellProblems, runCell } from './packets-cell.ts'
import type { CellSpec } from './packets-cell.ts'

it.each<CellSpec>([
  { mode: 'mac', flows: 100, windowMs: 100 },
  { mode: 'ipip', flows: 1, windowMs: 100 },
  { mode: 'local', flows: 1, windowMs: 100 },
])('$mode, $flows flows', async (spec) => {
  const run = await runCell(spec, new AbortController().signal)
  expect(cellProblems(spec, run)).toEqual([])
  expect(cellFigures(spec, run).forwardedPerSecond).toBeGreaterThan(0)
})

it('ends when the run is told to end', async () => {
  const abort = new AbortController()
  const run = runCell({ mode: 'mac', flows: 1, windowMs: 60_000 }, abort.signal)
  abort.abort(new Error('enough'))
  await expect(run).rejects.toThrow('enough')
})
