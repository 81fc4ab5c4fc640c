/** How many places among the handshakes one host can take. */
import type { Connection, MultiaddrConnection } from '@libp2p/interface'
import { expect, test } from 'vitest'
import { HandshakeWatch } from '../../gossip/handshake-watch.ts'
import type { KeyRing } from '../../gossip/key-ring.ts'

/** A socket as far as the watch looks at it. */
function inbound(host: string): { connection: MultiaddrConnection; close: () => void } {
  const listeners: ((event: { error?: Error }) => void)[] = []
  const connection = {
    direction: 'inbound',
    timeline: {},
    remoteAddr: { toString: () => `/ip4/${host}/tcp/40000` },
    addEventListener: (_type: string, listener: (event: { error?: Error }) => void) => listeners.push(listener),
  }
  return {
    connection: connection as unknown as MultiaddrConnection,
    close: () => listeners.forEach((listener) => listener({})),
  }
}

/** Whoever comes has shown a key at once: recorded from a member, maybe. */
const knowing = { protect: (stream: unknown) => Promise.resolve(stream) } as unknown as KeyRing
const silent = { protect: () => new Promise(() => {}) } as unknown as KeyRing

/** How many are let in, or are waited for, one after the other. */
async function admitted(
  watch: HandshakeWatch,
  sockets: readonly { connection: MultiaddrConnection }[],
): Promise<number> {
  let count = 0
  for (const { connection } of sockets) {
    const outcome = watch.protect(connection as never).then(
      () => true,
      () => false,
    )
    if (await Promise.race([outcome, new Promise<boolean>((resolve) => setImmediate(resolve, true))])) count++
  }
  return count
}

test('a host that has shown a key keeps no more than its share of the handshakes', async () => {
  const watch = new HandshakeWatch(knowing, () => {})
  const sockets = Array.from({ length: 100 }, () => inbound('10.9.0.9'))
  expect(await admitted(watch, sockets)).toBe(64)
  expect(await admitted(watch, [inbound('10.1.0.2')]), 'another host').toBe(1)
  watch.completed({ timeline: sockets[0]!.connection.timeline } as Connection)
  sockets[1]!.close()
  expect(
    await admitted(
      watch,
      Array.from({ length: 5 }, () => inbound('10.9.0.9')),
    ),
    'one is done and one has gone',
  ).toBe(2)
})

test('a host that has shown none keeps fewer', async () => {
  const watch = new HandshakeWatch(silent, () => {})
  const sockets = Array.from({ length: 100 }, () => inbound('10.9.0.9'))
  expect(await admitted(watch, sockets)).toBe(32)
})
