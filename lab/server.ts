/**
 * The lab's built-in web server: says which host answered, holds connections for a service time, and serves streams
 * that a client can verify byte by byte. What a load balancer's tests need from a server, and no more.
 *
 *   GET  /                 the host's name
 *   GET  /hold?ms=500      headers at once, the end of the body after 500 ms
 *   GET  /bytes?n=1&seed=2 n bytes of the stream that belongs to the seed
 *   POST /sink             {"bytes": 3, "sha256": "…"} of the body
 *   GET  /echo             Upgrade: dpr-echo; after 101 every byte comes back
 *
 * Every answer carries `x-dpr-host`.
 */
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { streamBytes } from './bytes.ts'

export const HOST_HEADER = 'x-dpr-host'
export const ECHO_PROTOCOL = 'dpr-echo'

const HOLD_MS_MAX = 3_600_000
const BYTES_MAX = 2 ** 34
const CHUNK_BYTES = 65_536

export function labServer(host: string): Server {
  const server = createServer((request, response) => {
    response.setHeader(HOST_HEADER, host)
    // Clients that vanish are the point of many tests, not an error of the server.
    response.on('error', () => undefined)
    const url = new URL(request.url ?? '/', 'http://lab')
    const route = `${request.method} ${url.pathname}`
    if (route === 'GET /') answer(response, 200, `${host}\n`)
    else if (route === 'GET /hold') hold(response, url, host)
    else if (route === 'GET /bytes') sendBytes(response, url)
    else if (route === 'POST /sink') sink(request, response)
    else answer(response, 404, 'no such thing here\n')
  })
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => echo(host, request, socket, head))
  // Idle keep-alive connections and long uploads are normal here; the lab decides when they end.
  server.keepAliveTimeout = 600_000
  server.requestTimeout = 0
  return server
}

function answer(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'content-type': 'text/plain', 'content-length': Buffer.byteLength(body) })
  response.end(body)
}

/** A whole number from the query; undefined if it is none or out of range. */
function numberFrom(url: URL, key: string, fallback: number, max: number): number | undefined {
  const text = url.searchParams.get(key)
  if (text === null) return fallback
  const value = Number(text)
  return /^\d+$/.test(text) && value <= max ? value : undefined
}

function hold(response: ServerResponse, url: URL, host: string): void {
  const ms = numberFrom(url, 'ms', 0, HOLD_MS_MAX)
  if (ms === undefined) return answer(response, 400, `ms must be 0 to ${HOLD_MS_MAX}\n`)
  response.writeHead(200, { 'content-type': 'text/plain' })
  // The client learns at once who serves it: when this host dies, it can tell whose connection broke.
  response.flushHeaders()
  const timer = setTimeout(() => response.end(`${host}\n`), ms)
  response.on('close', () => clearTimeout(timer))
}

function sendBytes(response: ServerResponse, url: URL): void {
  const length = numberFrom(url, 'n', 0, BYTES_MAX)
  const seed = numberFrom(url, 'seed', 0, 0xffff_ffff)
  if (length === undefined || seed === undefined) return answer(response, 400, `n must be 0 to ${BYTES_MAX}\n`)
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': length })
  let offset = 0
  const more = () => {
    while (offset < length) {
      const chunk = streamBytes(seed, offset, Math.min(CHUNK_BYTES, length - offset))
      offset += chunk.length
      if (!response.write(chunk)) {
        response.once('drain', more)
        return
      }
    }
    response.end()
  }
  more()
}

function sink(request: IncomingMessage, response: ServerResponse): void {
  const hash = createHash('sha256')
  let bytes = 0
  request.on('data', (chunk: Buffer) => {
    hash.update(chunk)
    bytes += chunk.length
  })
  request.on('error', () => undefined)
  request.on('end', () => {
    const body = JSON.stringify({ bytes, sha256: hash.digest('hex') })
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length })
    response.end(body)
  })
}

function echo(host: string, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  socket.on('error', () => socket.destroy())
  if (request.headers.upgrade !== ECHO_PROTOCOL || !request.url?.startsWith('/echo')) {
    socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n')
    return
  }
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ${ECHO_PROTOCOL}\r\n${HOST_HEADER}: ${host}\r\n\r\n`,
  )
  if (head.length > 0) socket.write(head)
  socket.pipe(socket)
}
