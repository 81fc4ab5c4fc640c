import { chmodSync, existsSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer, request } from 'node:http'
import { connect, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { controlGet } from '../../node/control-client.ts'
import { createControlServer } from '../../node/control-server.ts'
import type { ControlServer } from '../../node/control-server.ts'
import { peer, status } from './control-fixtures.ts'

let dir: string
let socketPath: string
let endings: (() => unknown)[]

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'dpr-control-'))
  socketPath = join(dir, 'control.sock')
  endings = []
})
afterEach(async () => {
  for (const end of endings) await end()
  rmSync(dir, { recursive: true, force: true })
})

function server(changes: Partial<Parameters<typeof createControlServer>[0]> = {}): ControlServer {
  const made = createControlServer({ socketPath, peers: () => [peer('h1')], status: () => status(), ...changes })
  endings.push(() => made.stop())
  return made
}

/** A Unix socket that somebody else holds; `onConnection` decides how it behaves. */
function foreignSocket(onConnection: (socket: Socket) => void): Promise<Server> {
  const held = createServer(onConnection)
  const open = new Set<Socket>()
  held.on('connection', (socket) => {
    open.add(socket)
    socket.on('error', () => {})
  })
  endings.push(() => {
    for (const socket of open) socket.destroy()
    return new Promise((resolve) => held.close(resolve))
  })
  return new Promise((resolve) => held.listen(socketPath, () => resolve(held)))
}

interface Raw {
  statusCode: number
  headers: Record<string, unknown>
  body: string
}

function send(method: string, path: string, body = ''): Promise<Raw> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path, agent: false, headers: { 'content-type': 'application/json' } })
    sent.on('response', (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk))
      response.on('end', () =>
        resolve({ statusCode: response.statusCode!, headers: { ...response.headers }, body: text }),
      )
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

describe('the control server', () => {
  test('answers peers and status to the control client', async () => {
    await server({ peers: () => [peer('h1', { self: true }), peer('h2')] }).start()
    expect(await controlGet(socketPath, '/v1/peers')).toEqual([peer('h1', { self: true }), peer('h2')])
    expect(await controlGet(socketPath, '/v1/status')).toEqual(status())
  })

  test('answers metrics as text, and says so when they cannot be read', async () => {
    let texts = ['dpr_up 1\n']
    const text = async () => {
      if (texts.length === 0) throw new Error('broken')
      return texts.pop()!
    }
    await server({ metrics: { contentType: 'text/plain; version=0.0.4', text } }).start()
    const answer = await send('GET', '/metrics')
    expect(answer).toMatchObject({ statusCode: 200, body: 'dpr_up 1\n' })
    expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4')
    texts = []
    expect((await send('GET', '/metrics')).statusCode).toBe(500)
    expect((await send('POST', '/metrics')).statusCode).toBe(405)
  })

  test('asks anew for every request', async () => {
    let uptimeMs = 0
    await server({ status: () => status({ uptimeMs: ++uptimeMs }) }).start()
    await controlGet(socketPath, '/v1/status')
    expect(await controlGet(socketPath, '/v1/status')).toMatchObject({ uptimeMs: 2 })
  })

  test('its socket is there with mode 0600 from its first instant, and nothing else is', async () => {
    const umask = process.umask(0)
    try {
      await server().start()
    } finally {
      process.umask(umask)
    }
    expect((statSync(socketPath).mode & 0o777).toString(8)).toBe('600')
    expect(readdirSync(dir)).toEqual(['control.sock'])
  })

  test('makes its directory', async () => {
    socketPath = join(dir, 'run', 'dpr', 'control.sock')
    await server().start()
    expect(await controlGet(socketPath, '/v1/peers')).toHaveLength(1)
  })

  test('works at the longest path that a configuration may name', async () => {
    const long = join(dir, 'r'.repeat(94 - dir.length - 1))
    expect(long).toHaveLength(94)
    socketPath = join(long, 'control.sock')
    await server().start()
    expect(await controlGet(socketPath, '/v1/peers')).toHaveLength(1)
  })

  test.each<[name: string, method: string, path: string, statusCode: number, body: object]>([
    ['an unknown path', 'GET', '/v1/flows', 404, { error: 'not found', message: expect.stringContaining('/v1/peers') }],
    ['the root', 'GET', '/', 404, { error: 'not found' }],
    ['another method', 'POST', '/v1/status', 405, { error: 'method not allowed' }],
    ['DELETE', 'DELETE', '/v1/peers', 405, { error: 'method not allowed' }],
    ['broken percent signs', 'GET', '/%zz', 400, {}],
  ])('%s: %s %s is answered with %i as JSON', async (_name, method, path, statusCode, body) => {
    await server().start()
    const answer = await send(method, path)
    expect(answer.statusCode).toBe(statusCode)
    expect(JSON.parse(answer.body)).toMatchObject(body)
    if (statusCode === 405) expect(answer.headers['allow']).toBe('GET, HEAD')
  })

  test('a body beyond the bound is refused', async () => {
    await server().start()
    expect((await send('POST', '/v1/elsewhere', JSON.stringify('x'.repeat(2_000)))).statusCode).toBe(413)
  })

  test('a failure while answering is a 500 with its message, not the end of the server', async () => {
    let broken = true
    const failing = (): never => {
      throw new Error('no view yet')
    }
    await server({ peers: () => (broken ? failing() : []) }).start()
    const answer = await send('GET', '/v1/peers')
    expect(answer.statusCode).toBe(500)
    expect(JSON.parse(answer.body)).toEqual({ error: 'internal error', message: 'no view yet' })
    broken = false
    expect(await controlGet(socketPath, '/v1/peers')).toEqual([])
  })

  test('a client that never finishes its request does not hold up the stop', async () => {
    const made = server()
    await made.start()
    const idle = connect({ path: socketPath })
    endings.push(() => idle.destroy())
    idle.on('error', () => {})
    // In one piece with a request that is whole, whose answer shows that the server has read both.
    idle.write(
      'GET / HTTP/1.1\r\nHost: dpr\r\n\r\nPOST / HTTP/1.1\r\nHost: dpr\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{',
    )
    await new Promise((resolve) => idle.once('data', resolve))
    // Without force the stop would wait for the request's own time limit, 5 s.
    const stopped = await Promise.race([
      made.stop().then(() => 'stopped'),
      setTimeout(2_500, 'waiting', { ref: false }),
    ])
    expect(stopped).toBe('stopped')
    expect(existsSync(socketPath)).toBe(false)
  })

  test('a live socket is not stolen: E_ALREADY_RUNNING names it', async () => {
    await server().start()
    await expect(server().start()).rejects.toMatchObject({
      code: 'E_ALREADY_RUNNING',
      message: `a daemon answers on ${socketPath} already`,
      remedy: expect.stringContaining('runtimeDirectory'),
    })
    expect(await controlGet(socketPath, '/v1/peers')).toHaveLength(1)
  })

  test('a stale socket is replaced', async () => {
    const cradle = join(dir, 'other')
    const dead = createServer().listen(cradle)
    await new Promise((resolve) => dead.once('listening', resolve))
    renameSync(cradle, socketPath)
    await new Promise((resolve) => dead.close(resolve))
    expect(statSync(socketPath).isSocket()).toBe(true)
    await server().start()
    expect(await controlGet(socketPath, '/v1/peers')).toHaveLength(1)
  })

  test('a file that is no socket is left alone', async () => {
    writeFileSync(socketPath, 'mine')
    await expect(server().start()).rejects.toMatchObject({ code: 'E_FILE_EXISTS' })
    expect(statSync(socketPath).isFile()).toBe(true)
  })

  test('stop removes its own socket, not that of a successor', async () => {
    const first = server()
    await first.start()
    rmSync(socketPath)
    await server().start()
    await first.stop()
    await first.stop()
    expect(await controlGet(socketPath, '/v1/peers')).toHaveLength(1)
  })

  test('a directory that cannot be made is E_FILE_UNWRITABLE', async () => {
    writeFileSync(join(dir, 'file'), '')
    socketPath = join(dir, 'file', 'control.sock')
    await expect(server().start()).rejects.toMatchObject({ code: 'E_FILE_UNWRITABLE' })
  })
})

describe('the control client', () => {
  test('no socket: E_SOCKET_UNREACHABLE asks whether the daemon runs', async () => {
    await expect(controlGet(socketPath, '/v1/peers')).rejects.toMatchObject({
      code: 'E_SOCKET_UNREACHABLE',
      exitCode: 20,
      message: `GET /v1/peers on ${socketPath}: there is no such socket`,
      remedy: expect.stringContaining('dpr node start'),
    })
  })

  test('a file that is no socket: E_SOCKET_UNREACHABLE', async () => {
    writeFileSync(socketPath, '')
    await expect(controlGet(socketPath, '/v1/peers')).rejects.toMatchObject({ code: 'E_SOCKET_UNREACHABLE' })
  })

  test('a socket of another user: E_SOCKET_DENIED', async () => {
    await server().start()
    chmodSync(dir, 0o755)
    chmodSync(socketPath, 0o000)
    const euid = process.geteuid!()
    // Root may open everything, so it becomes nobody for a moment.
    if (euid === 0) process.seteuid!(65_534)
    try {
      await expect(controlGet(socketPath, '/v1/peers')).rejects.toMatchObject({
        code: 'E_SOCKET_DENIED',
        remedy: expect.stringContaining('root'),
      })
    } finally {
      process.seteuid!(euid)
    }
  })

  test('a daemon that accepts and never answers: E_CONTROL_FAILED after the time allowed', async () => {
    await foreignSocket(() => {})
    await expect(controlGet(socketPath, '/v1/peers', 50)).rejects.toMatchObject({
      code: 'E_CONTROL_FAILED',
      message: `${socketPath} did not answer GET /v1/peers within 50 ms`,
    })
  })

  test('an answer that stops halfway: E_CONTROL_FAILED', async () => {
    await foreignSocket((socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{'))
    await expect(controlGet(socketPath, '/v1/peers')).rejects.toMatchObject({ code: 'E_CONTROL_FAILED' })
  })

  test('something that is no HTTP: E_CONTROL_FAILED', async () => {
    await foreignSocket((socket) => socket.end('SSH-2.0-x\r\n'))
    await expect(controlGet(socketPath, '/v1/peers')).rejects.toMatchObject({ code: 'E_CONTROL_FAILED' })
  })

  test.each<[name: string, statusCode: number, body: string, message: string]>([
    ['no JSON', 200, 'hello', 'with something that is no JSON'],
    ['an error of the daemon', 500, '{"message":"no view yet"}', 'with 500: no view yet'],
    ['a path it does not know', 404, '{}', 'with 404'],
  ])('%s: E_CONTROL_FAILED says so', async (_name, statusCode, body, message) => {
    const fake = createHttpServer((_request, response) => response.writeHead(statusCode).end(body))
    endings.push(() => new Promise((resolve) => fake.close(resolve)))
    await new Promise<void>((resolve) => fake.listen(socketPath, resolve))
    await expect(controlGet(socketPath, '/v1/peers')).rejects.toMatchObject({
      code: 'E_CONTROL_FAILED',
      message: expect.stringContaining(message),
    })
  })
})
