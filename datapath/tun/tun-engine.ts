/** The control side of the tun engine: starts the worker, passes snapshots down, reads shared counters. */
import { Worker } from 'node:worker_threads'
import type { AnnounceSchedule } from '../announcer.ts'
import { COUNTER, readEngineState, sharedCounters, sharedCountersBuffer, type SharedCounters } from '../counters.ts'
import type { Engine, EngineState, FlowEntry } from '../engine.ts'
import { DatapathError, type DatapathErrorCode } from '../errors.ts'
import * as libc from '../linux/libc.ts'
import type { Snapshot } from '../snapshot.ts'
import type { EngineLink, FromWorker, ToWorker, WorkerSetup } from './messages.ts'

export interface TunEngineOptions {
  /** Name of the TAP, at most 15 characters. */
  device: string
  /** Interfaces; the first one's address is the node address. At least one. */
  links: EngineLink[]
  flowTableEntries: number
  announce: AnnounceSchedule
  /** 16 bytes, the same on every node of the cluster. */
  hashKey: Uint8Array
}

/** A worker that does not answer within this time is ended by force. */
const CLOSE_MS = 2_000
const REQUEST_MS = 5_000
/** Type stripping does not touch URLs: in a checkout the worker is a .ts file, in a build a .js file. */
const WORKER_URL = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url)

/** What an eventfd takes: 1 as 64 bits. */
const wakeValue = new libc.NativeMemory(8)
wakeValue.view.setUint32(0, 1, true)

interface Pending {
  resolve(value: unknown): void
  reject(error: Error): void
  timer: NodeJS.Timeout
}

export class TunEngine implements Engine {
  readonly kind = 'tun'
  readonly #options: TunEngineOptions
  readonly #buffer = sharedCountersBuffer()
  readonly #shared: SharedCounters = sharedCounters(this.#buffer)
  readonly #pending = new Map<number, Pending>()
  readonly #failureListeners: ((error: Error) => void)[] = []
  #worker: Worker | undefined
  #exited: Promise<void> = Promise.resolve()
  #wakeFd = -1
  #closing = false
  #requests = 0

  constructor(options: TunEngineOptions) {
    if (options.links.length === 0) throw new RangeError('a tun engine needs at least one link')
    this.#options = options
  }

  async open(): Promise<void> {
    if (this.#worker !== undefined) throw new Error('the engine is open already')
    this.#closing = false
    this.#wakeFd = libc.eventfd(0, libc.O_NONBLOCK | libc.O_CLOEXEC)
    if (this.#wakeFd < 0) {
      throw new DatapathError(
        'E_ENGINE',
        `eventfd: ${libc.describeErrno(libc.errno())}`,
        'Raise the limit of open files.',
      )
    }
    const setup: WorkerSetup = { ...this.#options, shared: this.#buffer, wakeFd: this.#wakeFd }
    const worker = new Worker(WORKER_URL, { workerData: setup, name: 'dpr-tun' })
    this.#worker = worker
    this.#exited = new Promise((resolve) => worker.once('exit', () => resolve()))
    try {
      await this.#started(worker)
    } catch (error) {
      await this.close()
      throw error
    }
    worker.on('message', (message: FromWorker) => this.#receive(message))
    worker.on('error', (error) => this.#failed(error))
    worker.on('exit', () => this.#failed(new Error('the worker ended by itself')))
  }

  async close(): Promise<void> {
    const worker = this.#worker
    if (worker === undefined) return
    this.#closing = true
    this.#worker = undefined
    this.#post(worker, { type: 'close' })
    const force = setTimeout(() => void worker.terminate(), CLOSE_MS)
    await this.#exited
    clearTimeout(force)
    libc.close(this.#wakeFd)
    this.#wakeFd = -1
    this.#rejectPending(new Error('the engine was closed'))
  }

  publish(snapshot: Snapshot): void {
    this.renewLease(snapshot.leaseUntilMs)
    this.#tell({ type: 'publish', snapshot })
  }

  renewLease(untilMs: number): void {
    this.#shared.values[COUNTER.leaseUntilMs] = untilMs
  }

  correctLocalEstablished(count: number): void {
    this.#tell({ type: 'local-established', count })
  }

  state(): EngineState {
    return readEngineState(this.#shared)
  }

  async exportFlows(limit: number): Promise<FlowEntry[]> {
    return (await this.#ask((request) => ({ type: 'export', request, limit }))) as FlowEntry[]
  }

  async importFlows(flows: FlowEntry[]): Promise<number> {
    return (await this.#ask((request) => ({ type: 'import', request, flows }))) as number
  }

  onFailure(listener: (error: Error) => void): void {
    this.#failureListeners.push(listener)
  }

  async #started(worker: Worker): Promise<void> {
    const message = await new Promise<FromWorker>((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
      worker.once('exit', (code) => reject(new Error(`the worker ended at start, exit code ${code}`)))
    })
    if (message.type !== 'refused') return
    throw new DatapathError(message.code as DatapathErrorCode, message.message, message.remedy)
  }

  #receive(message: FromWorker): void {
    if (message.type !== 'exported' && message.type !== 'imported') return
    const pending = this.#pending.get(message.request)
    if (pending === undefined) return
    this.#pending.delete(message.request)
    clearTimeout(pending.timer)
    pending.resolve(message.type === 'exported' ? message.flows : message.taken)
  }

  #failed(error: Error): void {
    if (this.#closing) return
    this.#closing = true
    this.#worker = undefined
    this.#rejectPending(error)
    for (const listener of this.#failureListeners) listener(error)
  }

  #rejectPending(error: Error): void {
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer)
      pending.reject(error)
    }
    this.#pending.clear()
  }

  #tell(message: ToWorker): void {
    if (this.#worker !== undefined) this.#post(this.#worker, message)
  }

  #ask(build: (request: number) => ToWorker): Promise<unknown> {
    const request = ++this.#requests
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(request)
        reject(new Error(`the worker did not answer within ${REQUEST_MS} ms`))
      }, REQUEST_MS)
      this.#pending.set(request, { resolve, reject, timer })
      if (this.#worker === undefined) this.#rejectPending(new Error('the engine is not open'))
      else this.#post(this.#worker, build(request))
    })
  }

  /** The worker sleeps in poll(2): a message alone does not wake it. */
  #post(worker: Worker, message: ToWorker): void {
    worker.postMessage(message)
    libc.write(this.#wakeFd, wakeValue.address, 8)
  }
}
