/** A process with real members on 127.0.0.1, for the benchmark of a node with 50 peers: told over IPC, ended by a kill. */
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { generateIdentity } from '../../gossip/identity.ts'
import { createMembership } from '../../gossip/shell.ts'
import type { Membership } from '../../gossip/types.ts'
import { factsOf } from '../gossip/fixtures.ts'
import { HOST, LOAD_EVERY_MS } from './peers-messages.ts'
import type { FromHost, ToHost } from './peers-messages.ts'

const memberships: Membership[] = []

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function startOne(index: number, clusterKey: Uint8Array, seed: number | undefined): Promise<number> {
  const port = await freePort()
  const membership = await createMembership({
    privateKey: await generateIdentity(),
    clusterKey,
    listen: { address: HOST, port },
    seeds: seed === undefined ? [] : [`${HOST}:${seed}`],
    facts: factsOf(index, { gossipAddress: HOST, gossipPort: port }),
    software: 'bench',
  })
  await membership.start()
  memberships.push(membership)
  let load = 0
  setInterval(() => {
    load = (load + 0.01) % 1
    membership.setLoad({ load, source: 'flows', ageMs: 0 })
  }, LOAD_EVERY_MS)
  return port
}

function report(): Extract<FromHost, { type: 'report' }> {
  const all = memberships.map((membership) => membership.counters())
  return {
    type: 'report',
    fewestLinks: Math.min(...all.map(({ links }) => links)),
    connections: Math.max(...all.map(({ connections }) => connections)),
    framesSent: sum(all.map(({ framesSent }) => framesSent)),
    framesReceived: sum(all.map(({ framesReceived }) => framesReceived)),
    bytesSent: sum(all.map(({ bytesSent }) => bytesSent)),
    bytesReceived: sum(all.map(({ bytesReceived }) => bytesReceived)),
    notAlive: sum(memberships.map((one) => one.members().filter(({ status }) => status !== 'alive').length)),
  }
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)

async function answer(message: ToHost): Promise<FromHost> {
  if (message.type === 'report') return report()
  const ports: number[] = []
  for (let i = 0; i < message.count; i++) {
    const index = message.firstIndex + i
    ports.push(await startOne(index, Buffer.from(message.clusterKey), message.seed))
  }
  return { type: 'started', ports }
}

process.on('message', (message) => {
  void answer(message as ToHost).then((reply) => process.send?.(reply))
})
process.on('disconnect', () => process.exit())
