/**
 * Long-lived connections that exchange small messages and verify every byte that comes back: the way to see whether a
 * connection survived what happened to the cluster, and how long it stood still.
 */
import { request as httpRequest } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { StreamVerifier, streamBytes } from './bytes.ts'
import { checkRange } from './load.ts'
import type { LoadSignals } from './load.ts'
import { add } from './load-report.ts'
import type { FlowsReport, LoadLine } from './load-report.ts'
import { ECHO_PROTOCOL, HOST_HEADER } from './server.ts'

/** Unanswered bytes at which a connection stops sending, so that a long stall costs bounded memory. */
const OUTSTANDING_BYTES_MAX = 65_536
/** Without an echo for so long, a connection counts as standing still, ms. */
const STALLED_MS = 2_000

export interface FlowsPlan {
  /** Used in turn. Only scheme, host and port count. */
  readonly urls: readonly string[]
  readonly connections: number
  /** Between two messages of a connection, ms. */
  readonly intervalMs: number
  readonly messageBytes: number
  /** Pause between opening one connection and the next, ms: lets loads settle. */
  readonly openEveryMs: number
  readonly durationMs: number
  /** For opening a connection, ms. */
  readonly timeoutMs: number
}

/** @throws LabError E_LAB_LOAD that names the wrong parameter */
export function checkFlowsPlan(plan: FlowsPlan): FlowsPlan {
  checkRange('connections', plan.connections, 1, 20_000)
  checkRange('interval-ms', plan.intervalMs, 1, 600_000)
  checkRange('message-bytes', plan.messageBytes, 1, OUTSTANDING_BYTES_MAX)
  checkRange('open-every-ms', plan.openEveryMs, 0, 60_000)
  checkRange('duration-s', plan.durationMs / 1_000, 0.1, 86_400)
  checkRange('timeout-ms', plan.timeoutMs, 1, 600_000)
  return plan
}

/** Runs until the duration is over or it is told to stop, writing a line a second and a summary last. */
export async function runFlows(plan: FlowsPlan, signals: LoadSignals, emit: (line: LoadLine) => void): Promise<void> {
  const flows: Flow[] = []
  const deadline = performance.now() + plan.durationMs
  let second = 0
  const ticker = setInterval(() => emit(flowsReport('flows', ++second, flows)), 1_000)
  try {
    for (let i = 0; i < plan.connections && !signals.stop.aborted; i++) {
      const flow = new Flow(i + 1, plan)
      flows.push(flow)
      flow.open(plan.urls[i % plan.urls.length]!)
      await pause(plan.openEveryMs, signals.stop)
    }
    await pause(deadline - performance.now(), signals.stop)
    // Before they are closed: the summary tells which of them were alive at the end.
    emit(flowsReport('flows-summary', second, flows))
  } finally {
    clearInterval(ticker)
    for (const flow of flows) flow.close()
  }
}

async function pause(ms: number, stop: AbortSignal): Promise<void> {
  // An aborted pause is an early end, not an error.
  await sleep(Math.max(0, ms), undefined, { signal: stop }).catch(() => undefined)
}

function flowsReport(type: FlowsReport['type'], second: number, flows: readonly Flow[]): FlowsReport {
  const byHost: Record<string, number> = {}
  const brokenByHost: Record<string, number> = {}
  const stalledByHost: Record<string, number> = {}
  for (const flow of flows) {
    if (flow.host !== null) add(byHost, flow.host, 1)
    if (flow.broken) add(brokenByHost, flow.host ?? 'unknown', 1)
    if (flow.waitingMs > STALLED_MS) add(stalledByHost, flow.host ?? 'unknown', 1)
  }
  return {
    type,
    second,
    opened: flows.filter((flow) => flow.host !== null).length,
    open: flows.filter((flow) => flow.host !== null && !flow.broken && !flow.corrupted).length,
    byHost,
    broken: flows.filter((flow) => flow.broken).length,
    brokenByHost,
    stalledByHost,
    corrupted: flows.filter((flow) => flow.corrupted).length,
    verifiedBytes: flows.reduce((sum, flow) => sum + flow.verifiedBytes, 0),
    stallMsMax: Math.round(Math.max(0, ...flows.map((flow) => flow.takeStallMs(type === 'flows-summary')))),
  }
}

/** One connection: opening → exchanging → closed, broken or corrupted. */
class Flow {
  /** Who holds it; null until it is open. */
  host: string | null = null
  broken = false
  corrupted = false
  readonly #seed: number
  readonly #plan: FlowsPlan
  readonly #verifier: StreamVerifier
  #socket: Socket | undefined
  #timer: NodeJS.Timeout | undefined
  #sent = 0
  #closed = false
  /** Since when an echo is due: the first unanswered byte, or the last progress; undefined while nothing is. */
  #waitingSince: number | undefined
  #stallMs = 0
  #stallMsEver = 0

  constructor(seed: number, plan: FlowsPlan) {
    this.#seed = seed
    this.#plan = plan
    this.#verifier = new StreamVerifier(seed)
  }

  get verifiedBytes(): number {
    return this.#verifier.received
  }

  open(url: string): void {
    const request = httpRequest(new URL('/echo', url), {
      agent: false,
      headers: { connection: 'upgrade', upgrade: ECHO_PROTOCOL },
    })
    const timer = setTimeout(() => request.destroy(), this.#plan.timeoutMs)
    request.on('error', () => this.#end('broken'))
    request.on('response', () => request.destroy())
    request.on('close', () => clearTimeout(timer))
    request.on('upgrade', (response, socket: Socket, head: Buffer) => {
      clearTimeout(timer)
      if (this.#closed) {
        socket.destroy()
        return
      }
      this.host = String(response.headers[HOST_HEADER] ?? 'unknown')
      this.#socket = socket
      socket.setNoDelay(true)
      socket.on('data', (chunk: Buffer) => this.#receive(chunk))
      socket.on('error', () => this.#end('broken'))
      socket.on('close', () => this.#end('broken'))
      if (head.length > 0) this.#receive(head)
      this.#send()
      this.#timer = setInterval(() => this.#send(), this.#plan.intervalMs)
    })
    request.end()
  }

  close(): void {
    this.#end('closed')
  }

  /** How long it has been waiting for an echo, ms; 0 if everything sent has come back. */
  get waitingMs(): number {
    return this.#waitingSince === undefined || this.#closed ? 0 : performance.now() - this.#waitingSince
  }

  /** The longest wait for an echo since the last call (or ever), the present one included, ms. */
  takeStallMs(ever: boolean): number {
    const stall = Math.max(this.waitingMs, ever ? this.#stallMsEver : this.#stallMs)
    this.#stallMs = 0
    return stall
  }

  #send(): void {
    if (this.#sent - this.#verifier.received > OUTSTANDING_BYTES_MAX) return
    this.#waitingSince ??= performance.now()
    this.#socket?.write(streamBytes(this.#seed, this.#sent, this.#plan.messageBytes))
    this.#sent += this.#plan.messageBytes
  }

  #receive(chunk: Buffer): void {
    if (!this.#verifier.accept(chunk)) return this.#end('corrupted')
    const now = performance.now()
    const stallMs = this.#waitingSince === undefined ? 0 : now - this.#waitingSince
    this.#stallMs = Math.max(this.#stallMs, stallMs)
    this.#stallMsEver = Math.max(this.#stallMsEver, stallMs)
    this.#waitingSince = this.#verifier.received < this.#sent ? now : undefined
  }

  #end(how: 'closed' | 'broken' | 'corrupted'): void {
    if (this.#closed) return
    this.#closed = true
    this.broken = how === 'broken'
    this.corrupted = how === 'corrupted'
    clearInterval(this.#timer)
    this.#socket?.destroy()
  }
}
