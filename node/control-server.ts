/**
 * The control API: HTTP over a Unix socket that only the daemon's user may open. Read-only and small; what it answers
 * is in control-api.ts and, as text for Prometheus, in metrics-table.ts. Nothing a client does may disturb the daemon, hence limits on connections, sizes and times.
 */
import { chmodSync, lstatSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import type { BigIntStats } from 'node:fs'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { fastify } from 'fastify'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { PeerJson, StatusJson } from './control-api.ts'
import { makeDirectory } from './directory.ts'
import { NodeError, errnoOf } from './errors.ts'
import type { MetricsText } from './metrics-server.ts'

const REQUEST_MS_MAX = 5_000
const IDLE_MS_MAX = 1_000
const CONNECTIONS_MAX = 64
const BODY_BYTES_MAX = 1_024
const HEADER_BYTES_MAX = 8_192
/** A daemon that lives accepts at once, even if it then takes long to answer. */
const PROBE_MS = 1_000

/** What mkdtemp makes of `.c-`. */
const NURSERY = /^\.c-[A-Za-z0-9]{6}$/u

export interface ControlServerOptions {
  socketPath: string
  peers: () => PeerJson[]
  status: () => StatusJson
  metrics?: MetricsText
}

export interface ControlServer {
  /** @throws NodeError E_ALREADY_RUNNING if somebody answers on the socket, E_FILE_UNWRITABLE, E_FILE_EXISTS */
  start(): Promise<void>
  /** Ends open requests and removes the socket if it is still ours. Idempotent. */
  stop(): Promise<void>
}

export function createControlServer({ socketPath, peers, status, metrics }: ControlServerOptions): ControlServer {
  const app = createApp({ '/v1/peers': peers, '/v1/status': status }, metrics)
  let inode: bigint | undefined
  let stopped: Promise<void> | undefined
  return {
    async start() {
      await refuseLiveSocket(socketPath)
      inode = await listenPrivately(app, socketPath)
    },
    stop() {
      const stopOnce = async (): Promise<void> => {
        await app.close()
        if (inode !== undefined && statsOf(socketPath)?.ino === inode) rmSync(socketPath, { force: true })
      }
      stopped ??= stopOnce()
      return stopped
    },
  }
}

function createApp(json: Record<string, () => unknown>, metrics: MetricsText | undefined): FastifyInstance {
  const routes: Record<string, (reply: FastifyReply) => unknown> = Object.fromEntries(
    Object.entries(json).map(([url, answer]) => [url, answer]),
  )
  if (metrics !== undefined) {
    routes['/metrics'] = (reply) => {
      reply.header('content-type', metrics.contentType)
      return metrics.text()
    }
  }
  const app = fastify({
    logger: false,
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_MS_MAX,
    connectionTimeout: REQUEST_MS_MAX,
    keepAliveTimeout: IDLE_MS_MAX,
    forceCloseConnections: true,
    http: { maxHeaderSize: HEADER_BYTES_MAX, headersTimeout: REQUEST_MS_MAX, connectionsCheckingInterval: IDLE_MS_MAX },
  })
  app.server.maxConnections = CONNECTIONS_MAX
  for (const [url, answer] of Object.entries(routes)) {
    app.get(url, async (_request, reply) => reply.send(await answer(reply)))
    app.route({
      method: ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
      url,
      // Before the body is read: whatever it holds, the method is what is wrong.
      onRequest: refuseMethod,
      handler: refuseMethod,
    })
  }
  app.setNotFoundHandler((request, reply) =>
    reply.code(404).send({
      error: 'not found',
      message: `${request.method} ${request.url}: there is ${Object.keys(routes).join(', ')}`,
    }),
  )
  app.setErrorHandler((error, _request, reply) => {
    const statusCode = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
    const code = statusCode >= 400 && statusCode < 500 ? statusCode : 500
    const message = error instanceof Error ? error.message : String(error)
    return reply.code(code).send({ error: code === 500 ? 'internal error' : 'bad request', message })
  })
  return app
}

async function refuseMethod(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  return reply
    .code(405)
    .header('allow', 'GET, HEAD')
    .send({ error: 'method not allowed', message: `${request.method} ${request.url}: only GET is understood here` })
}

/**
 * Binds in a directory that nobody else may enter, sets the mode there and then moves the socket to its place: at no
 * instant can another user connect, and a stale socket is replaced in one step. The name in between is no longer than
 * `control.sock`, so that a path which fits in sockaddr_un fits throughout.
 */
async function listenPrivately(app: FastifyInstance, socketPath: string): Promise<bigint> {
  let nursery: string | undefined
  try {
    makeDirectory(dirname(socketPath), 0o755)
    // Of a daemon that was killed in this very function.
    for (const name of readdirSync(dirname(socketPath))) {
      if (NURSERY.test(name)) rmSync(join(dirname(socketPath), name), { recursive: true, force: true })
    }
    nursery = mkdtempSync(join(dirname(socketPath), '.c-'))
    const cradle = join(nursery, 's')
    await app.listen({ path: cradle })
    chmodSync(cradle, 0o600)
    const inode = lstatSync(cradle, { bigint: true }).ino
    renameSync(cradle, socketPath)
    return inode
  } catch (error) {
    if (error instanceof NodeError) throw error
    const errno = errnoOf(error) ?? 'error'
    throw new NodeError('E_FILE_UNWRITABLE', `cannot create the control socket ${socketPath} (${errno})`, {
      cause: error,
    })
  } finally {
    if (nursery !== undefined) rmSync(nursery, { recursive: true, force: true })
  }
}

/** Passes if there is nothing at the path, or a socket on which nobody listens any more. */
async function refuseLiveSocket(socketPath: string): Promise<void> {
  const present = statsOf(socketPath)
  if (present === undefined) return
  if (!present.isSocket()) {
    throw new NodeError('E_FILE_EXISTS', `${socketPath} is there and is no socket`, {
      remedy: 'move it away, or choose another runtimeDirectory',
    })
  }
  if (await answers(socketPath)) {
    throw new NodeError('E_ALREADY_RUNNING', `a daemon answers on ${socketPath} already`, {
      remedy: `use it (dpr status --socket ${socketPath}), stop it first, or choose another runtimeDirectory`,
    })
  }
}

/** A connection that is neither accepted nor refused counts as an answer: somebody holds the socket. */
function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path: socketPath })
    const settle = (live: boolean): void => {
      socket.destroy()
      resolve(live)
    }
    socket.setTimeout(PROBE_MS, () => settle(true))
    socket.once('connect', () => settle(true))
    socket.once('error', (error) => settle(!['ECONNREFUSED', 'ENOENT'].includes(errnoOf(error) ?? '')))
  })
}

/** undefined if there is nothing, or nothing that can be looked at: binding then says why. */
function statsOf(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true })
  } catch {
    return undefined
  }
}
