/**
 * One HTTP request on one new connection, with a deadline: what both load models are made of. A new connection each
 * time because connections, not requests, are what DPR distributes.
 */
import { request as httpRequest } from 'node:http'
import { HOST_HEADER } from './server.ts'

export type Outcome = { ok: true; host: string } | { ok: false; kind: string; host: string | null }

/** Sends it; the promise always resolves. Aborting ends it with the kind `stopped`. */
export function requestOnce(url: URL, timeoutMs: number, abort: AbortSignal): Promise<Outcome> {
  return new Promise((resolve) => {
    let host: string | null = null
    let kind: string | undefined
    const request = httpRequest(url, { agent: false, headers: { connection: 'close' } })
    const end = (why: string) => {
      kind ??= why
      request.destroy()
    }
    const onAbort = () => end('stopped')
    const timer = setTimeout(() => end('timeout'), timeoutMs)
    abort.addEventListener('abort', onAbort, { once: true })
    const settle = (outcome: Outcome) => {
      clearTimeout(timer)
      abort.removeEventListener('abort', onAbort)
      resolve(outcome)
    }
    request.on('error', (error: NodeJS.ErrnoException) => {
      settle({ ok: false, kind: kind ?? error.code ?? error.message, host })
    })
    request.on('response', (response) => {
      const named = response.headers[HOST_HEADER]
      host = typeof named === 'string' ? named : null
      const status = response.statusCode ?? 0
      response.on('error', (error: NodeJS.ErrnoException) => {
        kind ??= error.code // 'close' follows
      })
      response.on('close', () => {
        if (!response.complete) settle({ ok: false, kind: kind ?? 'truncated', host })
        else if (status >= 400) settle({ ok: false, kind: `status-${status}`, host })
        else settle({ ok: true, host: host ?? 'unknown' })
      })
      response.resume()
    })
    request.end()
  })
}
