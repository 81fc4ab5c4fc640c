/**
 * Which reports to tell, and what to make of those that are told. Told first is one's own, then the youngest: a report
 * that is young here is probably unknown there, and gains most where it is. So a report travels while it is news and
 * stops by itself when fresher ones crowd it out; no per-peer bookkeeping is needed. In an answer, whatever the question
 * showed to be known is left out.
 */
import { NO_REPORTS } from './messages.ts'
import type { ReportBlock } from './messages.ts'
import type { ReportTable } from './report-table.ts'
import { ReportReader, ReportWriter } from './reports.ts'

/** Ages are told apart in steps of this when the youngest are chosen; all older than the last step are the last. */
const AGE_STEP_MS = 16
const AGE_STEPS = 256
/** Bytes of a report, until some have been written. */
const REPORT_BYTES = 14
/** Spreads the places at which blocks start over all rows (the golden ratio, Knuth 6.4). */
const STRIDE = 0x9e3779b1
/** No age: this report is not to be told. */
const UNTOLD = AGE_STEPS
const ROWS_MIN = 64
/** This node's own row. */
const OWN = 0

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
  /** Reports of each age. */
  readonly #histogram = new Uint16Array(AGE_STEPS)
  /** By row: the step of its age, or that it is not to be told. Looked up twice for each block. */
  #steps = new Uint16Array(ROWS_MIN)
  #blocks = 0
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
    const serial = ++this.#blocks
    let ownVersion = 0
    reader.open(block)
    while (reader.next()) {
      const row = table.find(reader.key)
      if (row < 0 || table.life(row) !== reader.life) continue
      const held = table.version(row)
      const { version } = reader
      if (version >= held) table.setKnown(row, serial)
      if (row === OWN) {
        ownVersion = version
      } else if (version <= held) {
        this.#counters.reportsStale++
      } else {
        table.set(row, version, reader.loadUnits, reader.kind, nowMs - reader.ageMs)
        table.setTail(row, reader.tail)
        this.#counters.reportsAdmitted++
      }
    }
    if (reader.malformed) this.#counters.reportsMalformed++
    return ownVersion
  }

  /** Own report, then the youngest. `answering`: the block merged last came from whom this goes to. */
  select(nowMs: number, answering: boolean): ReportBlock {
    const writer = this.#writer
    const table = this.#table
    const unlessBlock = answering ? this.#blocks : -1
    let count = 0
    if (table.isTold(OWN, unlessBlock) && writer.add(table, OWN, nowMs)) count++
    const oldest = this.#youngest(nowMs, unlessBlock)
    const steps = this.#steps
    // The oldest step may not fit as a whole: start anywhere, so that it is not always the same who are left out.
    const others = table.length - 1
    const start = (Math.imul(++this.#selections, STRIDE) >>> 0) % Math.max(1, others)
    for (let i = 0; i < others; i++) {
      const row = 1 + (start + i < others ? start + i : start + i - others)
      if (steps[row]! > oldest) continue
      if (!writer.add(table, row, nowMs)) break
      count++
    }
    if (count === 0) return NO_REPORTS
    const block = writer.take()
    this.#bytesPerReport = block.length / count
    return block
  }

  /** The oldest age, in steps, of which everything may fit into one block. */
  #youngest(nowMs: number, unlessBlock: number): number {
    const histogram = this.#histogram
    const table = this.#table
    const { length } = table
    const countMax = this.#bytesMax / this.#bytesPerReport
    if (this.#steps.length < length) this.#steps = new Uint16Array(2 * length)
    const rowSteps = this.#steps
    histogram.fill(0)
    for (let row = 1; row < length; row++) {
      const step = table.isTold(row, unlessBlock) ? ageStep(nowMs - table.sampledAtMs(row)) : UNTOLD
      rowSteps[row] = step
      if (step !== UNTOLD) histogram[step]!++
    }
    if (length <= countMax) return AGE_STEPS - 1
    let steps = 0
    for (let count = histogram[0]!; count < countMax && steps < AGE_STEPS - 1; count += histogram[++steps]!);
    return steps
  }
}

function ageStep(ageMs: number): number {
  const step = (ageMs / AGE_STEP_MS) | 0
  return step < AGE_STEPS ? (step < 0 ? 0 : step) : AGE_STEPS - 1
}
