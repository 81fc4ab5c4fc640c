/** A child that answers over an IPC channel, one question at a time; its stderr explains a failure. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const STDERR_CHARACTERS_MAX = 4_000

export class Child<Sent extends { type: string }, Received extends { type: string }> {
  readonly #child: ChildProcess
  readonly #name: string
  readonly #exited: Promise<unknown>
  readonly #received: Received[] = []
  readonly #signal: AbortSignal
  #stderr = ''
  #wake: (() => void) | undefined
  #ended = false

  /** @param entry file in this folder, without `.ts` */
  constructor(entry: string, signal: AbortSignal) {
    this.#name = entry
    this.#signal = signal
    // Ctrl-C reaches the whole foreground group: these children end by themselves then, and their namespaces with them.
    this.#child = fork(join(import.meta.dirname, `${entry}.ts`), {
      execArgv: ['--disable-warning=ExperimentalWarning'],
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    })
    this.#exited = once(this.#child, 'close')
    this.#child.stderr!.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-STDERR_CHARACTERS_MAX)
    })
    this.#child.on('message', (message) => {
      this.#received.push(message as Received)
      this.#wake?.()
    })
    // `close` and not `exit`: what it said last has been read by then.
    this.#child.on('close', () => {
      this.#ended = true
      this.#wake?.()
    })
    this.#child.on('error', () => undefined)
  }

  get pid(): number {
    return this.#child.pid!
  }

  send(message: Sent): void {
    if (this.#child.connected) this.#child.send(message)
  }

  /**
   * The next message, which must be of this type.
   * @throws Error with the child's last words if it ends before, says something else, or takes too long
   */
  async receive<T extends Received['type']>(type: T, timeoutMs: number): Promise<Extract<Received, { type: T }>> {
    const deadline = performance.now() + timeoutMs
    while (this.#received.length === 0) {
      this.#signal.throwIfAborted()
      const left = deadline - performance.now()
      if (this.#ended) throw new Error(`${this.#name} ended: ${this.#stderr.trim()}`)
      if (left <= 0) throw new Error(`${this.#name} has not said "${type}" within ${timeoutMs} ms`)
      await this.#somethingHappens(left)
    }
    const message = this.#received.shift()!
    if (message.type !== type) throw new Error(`${this.#name} said "${message.type}" instead of "${type}"`)
    return message as Extract<Received, { type: T }>
  }

  async ask<T extends Received['type']>(
    message: Sent,
    type: T,
    timeoutMs: number,
  ): Promise<Extract<Received, { type: T }>> {
    this.send(message)
    return this.receive(type, timeoutMs)
  }

  /** Kills it; it owns nothing that outlives it. */
  async end(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exited.catch(() => undefined)
  }

  async #somethingHappens(withinMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#signal.removeEventListener('abort', done)
        this.#wake = undefined
        resolve()
      }
      const timer = setTimeout(done, withinMs)
      this.#signal.addEventListener('abort', done)
      this.#wake = done
    })
  }
}
