/**
 * `GET /metrics` over TCP, for a Prometheus on another host. Nothing else is answered there, and whoever connects may
 * read: connections, sizes and times are bounded, so that a scraper gone wild does not disturb the daemon.
 */
import { createServer } from 'node:http'
import type { Server, ServerResponse } from 'node:http'
import { NodeError, errnoOf } from './errors.ts'

const CONNECTIONS_MAX = 16
const REQUEST_MS_MAX = 5_000
const IDLE_MS_MAX = 5_000
const HEADER_BYTES_MAX = 8_192
/** A scrape within this time of the last gets the same text: reading a large membership costs some milliseconds. */
const CACHE_MS = 500

export interface MetricsServer {
  /** @throws NodeError E_METRICS_LISTEN */
  start(): Promise<void>
  /** Idempotent. */
  stop(): Promise<void>
}

export interface MetricsText {
  contentType: string
  text(): Promise<string>
}

/** @param listen `a.b.c.d:port` */
export function createMetricsServer(listen: string, metrics: MetricsText): MetricsServer {
  const [host, port] = listen.split(':')
  const fresh = cached(() => metrics.text())
  const server = createServer(
    {
      requestTimeout: REQUEST_MS_MAX,
      headersTimeout: REQUEST_MS_MAX,
      keepAliveTimeout: IDLE_MS_MAX,
      connectionsCheckingInterval: IDLE_MS_MAX,
      maxHeaderSize: HEADER_BYTES_MAX,
    },
    (request, response) => {
      const path = request.url?.split('?', 1)[0]
      if (path !== '/metrics') return refuse(response, 404, 'there is /metrics')
      if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(response, 405, 'only GET is understood')
      fresh().then(
        (text) => response.writeHead(200, { 'content-type': metrics.contentType }).end(text),
        () => refuse(response, 500, 'internal error'),
      )
    },
  )
  server.maxConnections = CONNECTIONS_MAX
  return {
    start: () => listening(server, host!, Number(port)),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function refuse(response: ServerResponse, statusCode: number, text: string): void {
  response.writeHead(statusCode, { 'content-type': 'text/plain', connection: 'close' }).end(`${text}\n`)
}

function cached(read: () => Promise<string>): () => Promise<string> {
  let text: Promise<string> | undefined
  let readMs = -Infinity
  return () => {
    const nowMs = performance.now()
    if (text === undefined || nowMs - readMs > CACHE_MS) {
      text = read()
      readMs = nowMs
    }
    return text
  }
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const why = errnoOf(error) ?? 'error'
      const text = why === 'EADDRINUSE' ? 'the port is taken' : why === 'EADDRNOTAVAIL' ? 'no such address here' : why
      reject(
        new NodeError('E_METRICS_LISTEN', `cannot serve metrics at ${host}:${port}: ${text}`, {
          cause: error,
          ...(why === 'EADDRINUSE'
            ? { remedy: `ss -ltnp 'sport = :${port}' names the other process; or ${RETREAT}` }
            : {}),
        }),
      )
    })
    server.listen({ host, port }, () => {
      server.removeAllListeners('error')
      // Past the start nothing but a broken kernel speaks here; the daemon is worth more than its figures.
      server.on('error', () => undefined)
      resolve()
    })
  })
}

const RETREAT = 'choose another port for metrics.listen, or leave it out: the control socket serves metrics too'
