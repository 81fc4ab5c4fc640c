/** This node's own load report: row 0 of the table, told as often as it is useful and no more often. */
import { VERSION_MAX } from './checks.ts'
import type { ReportTable } from './report-table.ts'
import { loadUnits, sourceCode } from './reports.ts'
import type { LoadReport } from './types.ts'

const ROW = 0

export class OwnReport {
  readonly #table: ReportTable
  readonly #intervalMs: number
  #hasLoad = false
  #isNews = false
  #versionedAtMs = -Infinity

  constructor(table: ReportTable, intervalMs: number) {
    this.#table = table
    this.#intervalMs = intervalMs
  }

  setLoad(report: LoadReport, nowMs: number): void {
    const { kind, tail } = sourceCode(report.source)
    const sampledAtMs = nowMs - Math.max(0, report.ageMs)
    this.#table.set(ROW, this.#table.version(ROW), loadUnits(report.load), kind, sampledAtMs)
    this.#table.setTail(ROW, tail)
    this.#hasLoad = true
    this.#isNews = true
  }

  /**
   * To be called before it is told. Gives a new load its version, at most once per interval: every version is told to
   * everybody, so this bounds what one member costs all others. A sample in between goes out under the version of the
   * one before.
   */
  refresh(nowMs: number): void {
    if (!this.#hasLoad) return
    const version = this.#table.version(ROW)
    // Zero: a new life has begun.
    if (version > 0 && (!this.#isNews || nowMs - this.#versionedAtMs < this.#intervalMs)) return
    this.#isNews = false
    this.#versionedAtMs = nowMs
    this.#table.setVersion(ROW, version + 1)
  }

  /**
   * Somebody holds a later report of this life than we made. Unsigned, so it may be a lie: it costs a number. False if
   * only a new incarnation leads past it.
   */
  jumpPast(version: number): boolean {
    if (version <= this.#table.version(ROW)) return true
    if (version > VERSION_MAX / 2) return false
    this.#table.setVersion(ROW, version + 1)
    return true
  }
}
