/**
 * When is a lab ready? When every daemon sees every member alive and reports its status, and every published address
 * answers a client in another subnet. Until then: what is still missing, and at which host to look.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PeerJson, StatusJson } from '../node/control-api.ts'
import { inNamespace } from './command.ts'
import type { LoadLine } from './load-report.ts'
import { cleanEnvironment, loadCommand } from './programs.ts'

const POLL_MS = 100

/** What readiness needs to know of a host; `Lab` provides it. */
export interface Watched {
  readonly name: string
  /** Is its daemon's process there at all? */
  running(): boolean
  peers(): Promise<PeerJson[]>
  status(): Promise<StatusJson>
}

/** Why the lab is not ready. */
export interface NotReady {
  /** Where the reason shows. */
  readonly host: string
  readonly reason: string
}

/**
 * Waits until every host sees all members alive. A daemon that ends is a failure at once.
 * @returns undefined when they agree, else what was missing at the deadline
 */
export async function waitForMembers(
  hosts: readonly Watched[],
  members: number,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<NotReady | undefined> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    signal?.throwIfAborted()
    const ended = hosts.find((host) => !host.running())
    if (ended !== undefined) return { host: ended.name, reason: 'its daemon has ended' }
    const missing = (await Promise.all(hosts.map((host) => missingAt(host, members)))).find((it) => it !== undefined)
    if (missing === undefined || performance.now() > deadline) return missing
    await sleep(POLL_MS)
  }
}

async function missingAt(host: Watched, members: number): Promise<NotReady | undefined> {
  try {
    const [peers] = await Promise.all([host.peers(), host.status()])
    const alive = peers.filter((peer) => peer.status === 'alive').length
    if (alive < members || peers.length !== members) {
      return { host: host.name, reason: `it sees ${alive} of ${members} members alive` }
    }
    // Alive is not enough: a member must also accept the addresses announced here before it may be sent flows.
    const waiting = peers.filter((peer) => !peer.eligible && peer.mode !== null)
    if (waiting.length === 0) return undefined
    return { host: host.name, reason: `it may not send flows to ${waiting.map(({ name }) => name).join(', ')} yet` }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return { host: host.name, reason: `its daemon does not answer on the control socket: ${why}` }
  }
}

/**
 * Waits until every address answers from the client's namespace.
 * @param tcp an accepted connection is an answer
 * @returns the addresses that did not
 */
export async function waitForAddresses(
  clientNamespace: string,
  urls: readonly string[],
  tcp: boolean,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  signal?.throwIfAborted()
  const args = ['wait', '--timeout-ms', String(timeoutMs), ...(tcp ? ['--tcp'] : [])]
  const argv = inNamespace(clientNamespace, loadCommand([...args, ...urls.flatMap((url) => ['--url', url])]))
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ['ignore', 'pipe', 'inherit'], env: cleanEnvironment() })
  const end = () => child.kill('SIGTERM')
  signal?.addEventListener('abort', end, { once: true })
  const missing = new Set(urls)
  const closed = once(child, 'close')
  for await (const text of createInterface({ input: child.stdout })) {
    const line = JSON.parse(text) as LoadLine
    if (line.type === 'answer') missing.delete(line.url)
  }
  await closed
  signal?.removeEventListener('abort', end)
  signal?.throwIfAborted()
  return [...missing]
}
