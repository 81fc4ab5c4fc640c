/** What is wrong at the moment and goes on being wrong, for `status`: one line for each thing that it is about. */
import { errorLines } from './errors.ts'

export class Warnings {
  readonly #texts = new Map<string, string>()

  get texts(): string[] {
    return [...this.#texts.values()]
  }

  /** @returns whether that is news, and worth a line in the log */
  raise(about: string, error: unknown): boolean {
    const text = typeof error === 'string' ? error : (errorLines(error)[0] ?? String(error))
    if (this.#texts.get(about) === text) return false
    this.#texts.set(about, text)
    return true
  }

  clear(about: string): void {
    this.#texts.delete(about)
  }
}
