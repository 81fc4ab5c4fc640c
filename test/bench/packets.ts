/**
 * Packets per second through the tun engine alone, offered more than it can take; then super-packets, as an upload
 * through a lab. What the engine reads but cannot send, and what it has no time to read, is no throughput.
 */
import { benchBulk } from './bulk.ts'
import { cellFigures, cellProblems, runCell } from './packets-cell.ts'
import type { CellFigures, CellRun, CellSpec } from './packets-cell.ts'
import { count, percent } from './report.ts'
import type { BenchResult, Row, Section } from './report.ts'
import type { RunContext } from './run-context.ts'

const MODES = ['mac', 'ipip', 'local'] as const
const FLOWS = [1, 1_000] as const
/** Below it something else than the worker was the limit, and the figure is no maximum. */
const SATURATED_SHARE = 0.9

/** A run with what it shows, or what speaks against it. */
interface Cell {
  spec: CellSpec
  run: CellRun
  problems: string[]
  figures: CellFigures | undefined
}

export async function benchPackets(context: RunContext): Promise<BenchResult> {
  const cells: Cell[] = []
  for (const mode of MODES) {
    for (const flows of FLOWS) {
      const spec = { mode, flows, windowMs: context.options.seconds * 1_000 }
      const run = await runCell(spec, context.signal)
      const problems = cellProblems(spec, run)
      const figures = problems.length === 0 ? cellFigures(spec, run) : undefined
      cells.push({ spec, run, problems, figures })
      context.say(`  ${nameOf(spec)}: ${figures === undefined ? 'no figure' : count(figures.forwardedPerSecond)}/s`)
    }
  }
  const bulk = await benchBulk(context)
  return { sections: [sectionOf(cells), bulk.section], raw: { cells, bulk: bulk.raw } }
}

function nameOf({ mode, flows }: CellSpec): string {
  return `${mode}, ${count(flows)} flow${flows === 1 ? '' : 's'}`
}

function sectionOf(cells: readonly Cell[]): Section {
  return {
    title: 'Packets per second through the tun engine alone',
    how:
      'ACKs of established flows in the smallest Ethernet frames from a packet socket, faster than the engine can take\n' +
      'them; the sender has the other core. CPU is that of the worker thread.',
    columns: [
      'forwarded/s',
      'offered/s',
      'dropped at the device',
      'CPU per packet',
      'worker on a core',
      'waiting for one',
    ],
    rows: cells.map(rowOf),
    remarks: cells.flatMap(remarksOf),
  }
}

function rowOf({ spec, figures, problems }: Cell): Row {
  if (figures === undefined) return { name: nameOf(spec), refused: problems }
  return {
    name: nameOf(spec),
    cells: [
      count(figures.forwardedPerSecond),
      count(figures.offeredPerSecond),
      percent(figures.deviceDropShare),
      `${count(figures.cpuNsPerPacket)} ns`,
      percent(figures.workerShare),
      percent(figures.waitShare),
    ],
  }
}

function remarksOf({ spec, figures }: Cell): string[] {
  if (figures === undefined || figures.workerShare >= SATURATED_SHARE) return []
  return [
    `${nameOf(spec)}: no maximum of the engine, its worker had a core for ${percent(figures.workerShare)} of the time`,
  ]
}
