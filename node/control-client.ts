/**
 * Asks a daemon over its control socket. Used by every command that is not the daemon itself; loads nothing but Node's
 * own HTTP client.
 */
import { request } from 'node:http'
import type { ErrorCode } from './error-codes.ts'
import { NodeError, errnoOf } from './errors.ts'

export const CONTROL_SOCKET_DEFAULT = '/run/dpr/control.sock'

const TIMEOUT_MS_DEFAULT = 5_000
/** A thousand members with their records are some 500 KB. */
const ANSWER_BYTES_MAX = 64 * 1_048_576

/**
 * The parsed answer to a GET. Its type is the caller's claim: both ends are of one version.
 * @param path such as `/v1/peers`
 * @throws NodeError E_SOCKET_UNREACHABLE, E_SOCKET_DENIED or E_CONTROL_FAILED
 */
export async function controlGet<T>(socketPath: string, path: string, timeoutMs = TIMEOUT_MS_DEFAULT): Promise<T> {
  const { statusCode, body } = await get(socketPath, path, timeoutMs)
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch (error) {
    throw new NodeError('E_CONTROL_FAILED', `${socketPath} answered GET ${path} with something that is no JSON`, {
      cause: error,
    })
  }
  if (statusCode !== 200) {
    const message =
      typeof value === 'object' && value !== null && 'message' in value ? `: ${String(value.message)}` : ''
    throw new NodeError('E_CONTROL_FAILED', `${socketPath} answered GET ${path} with ${statusCode}${message}`)
  }
  return value as T
}

function get(socketPath: string, path: string, timeoutMs: number): Promise<{ statusCode: number; body: string }> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs)
    const fail = (error: Error): void => reject(transportError(error, socketPath, path, timeoutMs, signal.aborted))
    const sent = request({ socketPath, path, method: 'GET', signal, agent: false }, (response) => {
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        bytes += chunk.length
        if (bytes > ANSWER_BYTES_MAX) response.destroy(new Error(`more than ${ANSWER_BYTES_MAX} bytes`))
      })
      response.once('error', fail)
      response.once('end', () =>
        resolve({ statusCode: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
      )
    })
    sent.once('error', fail)
    sent.end()
  })
}

function transportError(error: Error, socketPath: string, path: string, timeoutMs: number, late: boolean): NodeError {
  if (late) return new NodeError('E_CONTROL_FAILED', `${socketPath} did not answer GET ${path} within ${timeoutMs} ms`)
  const [code, what] = faultOf(errnoOf(error) ?? error.message)
  return new NodeError(code, `GET ${path} on ${socketPath}: ${what}`, { cause: error })
}

function faultOf(errno: string): [ErrorCode, string] {
  switch (errno) {
    case 'ENOENT':
      return ['E_SOCKET_UNREACHABLE', 'there is no such socket']
    case 'ECONNREFUSED':
    case 'ENOTSOCK':
      return ['E_SOCKET_UNREACHABLE', 'nobody listens there']
    case 'EACCES':
    case 'EPERM':
      return ['E_SOCKET_DENIED', `this user may not open it (${errno})`]
    default:
      return ['E_CONTROL_FAILED', `the request failed (${errno})`]
  }
}
