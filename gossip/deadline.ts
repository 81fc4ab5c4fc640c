/** An abort signal whose time can begin anew, and does not fire any more once it has ended. */
export class Deadline {
  readonly #controller = new AbortController()
  #timer: NodeJS.Timeout | undefined

  constructor(ms: number) {
    this.begin(ms)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  begin(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#controller.abort(new DOMException('its time is up', 'TimeoutError')), ms)
  }

  end(): void {
    clearTimeout(this.#timer)
  }
}
