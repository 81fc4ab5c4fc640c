/**
 * Waits until addresses answer, as a client sees them: the last thing that `dpr lab up` makes sure of.
 */
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LoadLine } from './load-report.ts'
import { requestOnce } from './load-request.ts'
import type { Outcome } from './load-request.ts'

/** For one try, and between two tries of an address, ms. */
const TRY_MS = 1_000
const PAUSE_MS = 100

/**
 * Tries every URL until it answers; each answer is one line.
 * @param tcp an accepted connection is an answer, for servers that speak something else
 * @returns whether all of them answered in time
 */
export async function waitForAnswers(
  urls: readonly string[],
  tcp: boolean,
  timeoutMs: number,
  stop: AbortSignal,
  emit: (line: LoadLine) => void,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs
  const answers = await Promise.all(
    urls.map(async (url) => {
      while (!stop.aborted && performance.now() < deadline) {
        const outcome = tcp ? await connectOnce(new URL(url), stop) : await requestOnce(new URL(url), TRY_MS, stop)
        if (outcome.ok) {
          emit({ type: 'answer', url, host: tcp ? null : outcome.host })
          return true
        }
        await sleep(PAUSE_MS)
      }
      return false
    }),
  )
  return answers.every(Boolean)
}

function connectOnce(url: URL, stop: AbortSignal): Promise<Outcome> {
  return new Promise((resolve) => {
    const socket = connect({ host: url.hostname, port: Number(url.port || '80') })
    const settle = (outcome: Outcome) => {
      socket.destroy()
      resolve(outcome)
    }
    socket.setTimeout(TRY_MS, () => settle({ ok: false, kind: 'timeout', host: null }))
    socket.on('connect', () => settle({ ok: true, host: 'unknown' }))
    socket.on('error', (error: NodeJS.ErrnoException) => settle({ ok: false, kind: error.code ?? 'error', host: null }))
    stop.addEventListener('abort', () => settle({ ok: false, kind: 'stopped', host: null }), { once: true })
  })
}
