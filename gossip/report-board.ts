/**
 * Which reports to tell, and what to make of those that are told. Told first is one's own, then the youngest: a report
 * that is young here is probably unknown there, and gains most where it is. So a report travels while it is news and
 * stops by itself when fresher ones crowd it out; no per-peer bookkeeping is needed. In an answer, whatever the question
 * showed to be known is left out.
 */
import { NO_REPORTS } from './messages.ts'
import type { ReportBlock } from './messages.ts'
import { TOLD } from './report-table.ts'
import type { ReportTable } from './report-table.ts'
import { BATCH_MAX, ReportBatch, ReportReader, ReportWriter } from './reports.ts'

/** Ages are told apart in steps of this when the youngest are chosen; all older than the last step are the last. */
const AGE_STEP_MS = 16
const AGE_STEPS = 256
/** Bytes of a report, until some have been written. */
const REPORT_BYTES = 14
/** Spreads the places at which blocks start over all rows (the golden ratio, Knuth 6.4). */
const STRIDE = 0x9e3779b1
/** No age: this report is not to be told. */
const UNTOLD = AGE_STEPS
/** This node's own row. */
const OWN = 0

// While a block is selected. All boards of a process share them: a simulation of a thousand would else fetch them from
// memory each time.
/** What is being merged or written, and the rows where it belongs. */
const batch = new ReportBatch()
const rows = new Int32Array(BATCH_MAX)
/** Step of each row's age, or that it is not to be told. */
let stepByRow = new Uint16Array(1_024)
/** Rows of each step. */
const rowsByStep = new Uint16Array(AGE_STEPS + 1)

export interface ReportCounters {
  reportsAdmitted: number
  reportsStale: number
  reportsMalformed: number
}

export class ReportBoard {
  readonly #table: ReportTable
  readonly #bytesMax: number
  readonly #counters: ReportCounters
  readonly #reader = new ReportReader()
  readonly #writer: ReportWriter
  #selections = 0
  /** Of the block written last. */
  #bytesPerReport = REPORT_BYTES

  constructor(table: ReportTable, bytesMax: number, counters: ReportCounters) {
    this.#table = table
    this.#bytesMax = bytesMax
    this.#writer = new ReportWriter(bytesMax)
    this.#counters = counters
  }

  /**
   * Takes what is news. Returns the version of this node's own report that the block claims (0: none), for the owner to
   * judge. What the block knew as well as we do is remembered: `select` then leaves it out.
   */
  merge(block: ReportBlock, nowMs: number): number {
    const reader = this.#reader
    const table = this.#table
    let ownVersion = 0
    table.beginBlock()
    reader.open(block)
    for (let count = reader.read(batch); count > 0; count = reader.read(batch)) {
      table.findAll(batch.keys, rows, count)
      for (let i = 0; i < count; i++) {
        const row = rows[i]!
        if (row < 0 || table.life(row) !== batch.lives[i]) continue
        const held = table.version(row)
        const version = batch.versions[i]!
        if (version >= held) table.setKnown(row)
        if (row === OWN) {
          ownVersion = version
        } else if (version <= held) {
          this.#counters.reportsStale++
        } else {
          table.set(row, version, batch.loadUnits[i]!, batch.kinds[i]!, nowMs - batch.agesMs[i]!)
          table.setTail(row, reader.tailOf(batch, i))
          this.#counters.reportsAdmitted++
        }
      }
    }
    if (reader.malformed) this.#counters.reportsMalformed++
    return ownVersion
  }

  /** Own report, then the youngest. `answering`: the block merged last came from whom this goes to. */
  select(nowMs: number, answering: boolean): ReportBlock {
    const writer = this.#writer
    const table = this.#table
    const { length } = table
    const oldest = this.#youngest(nowMs, answering)
    const steps = stepByRow
    let chosen = 0
    let isFull = false
    if (steps[OWN] !== UNTOLD) rows[chosen++] = OWN
    // The oldest step may not fit as a whole: start anywhere, so that it is not always the same who are left out.
    const others = length - 1
    const start = 1 + ((Math.imul(++this.#selections, STRIDE) >>> 0) % Math.max(1, others))
    for (let i = 0, row = start; i < others && !isFull; i++, row++) {
      if (row === length) row = 1
      if (steps[row]! > oldest) continue
      rows[chosen++] = row
      if (chosen < BATCH_MAX) continue
      isFull = !this.#write(chosen, nowMs)
      chosen = 0
    }
    if (!isFull) this.#write(chosen, nowMs)
    const { count } = writer
    if (count === 0) return NO_REPORTS
    const block = writer.take()
    this.#bytesPerReport = block.length / count
    return block
  }

  /** Writes the first so many of `rows`; whether all fitted. */
  #write(count: number, nowMs: number): boolean {
    const table = this.#table
    table.gather(rows, count, nowMs, batch)
    for (let i = 0; i < count; i++) if (!this.#writer.add(batch, i, table.tail(rows[i]!))) return false
    return true
  }

  /** The oldest age, in steps, of which everything may fit into one block. */
  #youngest(nowMs: number, answering: boolean): number {
    const { length, sampledAtColumn, flagsColumn, knownColumn } = this.#table
    const countMax = this.#bytesMax / this.#bytesPerReport
    if (stepByRow.length < length) stepByRow = new Uint16Array(2 * length)
    const steps = stepByRow
    const histogram = rowsByStep
    histogram.fill(0)
    const known = answering ? 1 : 2
    for (let row = 0; row < length; row++) {
      const isTold = flagsColumn[row] === TOLD && knownColumn[row] !== known
      const step = isTold ? ageStep(nowMs - sampledAtColumn[row]!) : UNTOLD
      steps[row] = step
      histogram[step]!++
    }
    if (length <= countMax) return AGE_STEPS - 1
    // Our own goes in any case.
    rowsByStep[stepByRow[OWN]!]!--
    let oldest = 0
    for (let count = histogram[0]!; count < countMax && oldest < AGE_STEPS - 1; count += histogram[++oldest]!);
    return oldest
  }
}

function ageStep(ageMs: number): number {
  const step = (ageMs / AGE_STEP_MS) | 0
  return step < AGE_STEPS ? (step < 0 ? 0 : step) : AGE_STEPS - 1
}
