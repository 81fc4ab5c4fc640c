/** Members over real libp2p on 127.0.0.1, several in one process. */
import { generateClusterKey } from '../../gossip/cluster-key.ts'
import type { GossipConfig } from '../../gossip/config.ts'
import { createMembership } from '../../gossip/shell.ts'
import type { Membership, MembershipEvent } from '../../gossip/types.ts'
import { freePort } from '../compliance/free-port.ts'
import { realTime } from '../compliance/real-time.ts'
import { factsOf, identityOf } from './fixtures.ts'

export const HOST = '127.0.0.1'
export const KEY: Uint8Array = Buffer.from(generateClusterKey())

export interface Node {
  membership: Membership
  events: MembershipEvent[]
  port: number
}

export interface NodeOptions {
  port?: number
  /** What others are told to dial; by default the port itself. */
  advertised?: number
  seeds?: readonly number[]
  known?: readonly number[]
  /** The host's address itself is not ours to choose here. */
  keys?: readonly Uint8Array[]
  allowList?: readonly string[]
  config?: Partial<GossipConfig>
}

const addressOf = (port: number): string => `${HOST}:${port}`

/** Node `index` of the fixtures, not started. */
export async function createNode(index: number, options: NodeOptions = {}): Promise<Node> {
  const port = options.port ?? (await freePort())
  const membership = await createMembership({
    privateKey: await identityOf(index),
    clusterKeys: options.keys ?? [KEY],
    listen: { address: HOST, port },
    seeds: (options.seeds ?? []).map(addressOf),
    known: (options.known ?? []).map(addressOf),
    facts: factsOf(index, { gossipAddress: HOST, gossipPort: options.advertised ?? port }),
    software: 'test',
    ...(options.allowList === undefined ? {} : { allowList: options.allowList }),
    ...(options.config === undefined ? {} : { config: options.config }),
  })
  const events: MembershipEvent[] = []
  membership.onEvent((event) => events.push(event))
  return { membership, events, port }
}

/** What a test started, undone in reverse order, also when it failed. */
export class Cleanups {
  readonly #undo: (() => Promise<unknown> | void)[] = []

  add(undo: () => Promise<unknown> | void): void {
    this.#undo.push(undo)
  }

  async startNode(index: number, options: NodeOptions = {}): Promise<Node> {
    const node = await createNode(index, options)
    await node.membership.start()
    this.add(() => node.membership.stop(false))
    return node
  }

  /** Nodes 0 to size−1, all seen by all; the first one is everybody's seed. */
  async startCluster(size: number, options: NodeOptions = {}): Promise<Node[]> {
    const nodes = [await this.startNode(0, options)]
    for (let i = 1; i < size; i++) nodes.push(await this.startNode(i, { ...options, seeds: [nodes[0]!.port] }))
    await until('all see all', () => nodes.every((node) => seesAll(node, nodes)))
    return nodes
  }

  readonly undoAll = async (): Promise<void> => {
    for (const undo of this.#undo.splice(0).toReversed()) await undo()
  }
}

/** Polls; returns how long it took, ms. */
export async function until(what: string, condition: () => boolean, withinMs?: number): Promise<number> {
  const startMs = performance.now()
  await realTime.until(what, condition, withinMs)
  return performance.now() - startMs
}

export function statusOf(viewer: Node, id: string): string | undefined {
  return viewer.membership.members().find((member) => member.facts.id === id)?.status
}

export function seesAll(viewer: Node, nodes: readonly Node[]): boolean {
  return nodes.every((node) => statusOf(viewer, node.membership.id) === 'alive')
}
