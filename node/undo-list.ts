/**
 * What a start has done, and how to undo it: latest first, every step whatever became of the others. Undoing is also
 * what follows a start that failed half-way, so that a host is never left half configured.
 */
import { errorLines } from './errors.ts'
import type { Logger } from './log.ts'

/** Once more after a failure: the signal that stops us may have hit the tool that a step was just running as well. */
const ATTEMPTS = 2

type Undo = () => Promise<void> | void

export class UndoList {
  readonly #log: Logger
  readonly #steps: { what: string; undo: Undo }[] = []

  constructor(log: Logger) {
    this.#log = log
  }

  /** @param undo may be called twice, and after only a part of its step was done */
  add(what: string, undo: Undo): void {
    this.#steps.push({ what, undo })
  }

  /** @returns why steps could not be undone; each is logged. A second call has nothing left to do. */
  async undoAll(): Promise<unknown[]> {
    const failures: unknown[] = []
    for (const { what, undo } of this.#steps.splice(0).toReversed()) {
      for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
        try {
          await undo()
          break
        } catch (error) {
          if (attempt < ATTEMPTS) continue
          this.#log.error({ event: 'undo-failed', what, error }, errorLines(error)[0] ?? what)
          failures.push(error)
        }
      }
    }
    return failures
  }
}
