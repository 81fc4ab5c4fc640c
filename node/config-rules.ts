/**
 * The rules that need more than one value: duplicates, and addresses that must or must not lie within each other. Each
 * rule sees only sections that are well-formed by themselves, so one typo does not hide the problems of other keys.
 */
import type { z } from 'zod'
import type { configSchema } from './config-schema.ts'
import type { KeyPath } from './config-source.ts'
import { contains, parseAddress, parseBlock } from './ipv4.ts'

export type Sections = Partial<z.output<typeof configSchema>>

export interface RuleProblem {
  path: KeyPath
  /** Follows `KEY is VALUE`; empty if the value alone says it. */
  because: string
  remedy: string
}

type Rule = (sections: Sections) => RuleProblem[]

const publishedWithinRanges: Rule = ({ published, publishedRanges }) => {
  if (published === undefined || publishedRanges === undefined) return []
  return published
    .map((text, index) => ({ text, index }))
    .filter(({ text }) => !publishedRanges.some((range) => blockContains(range, text)))
    .map(({ index }) => ({
      path: ['published', index],
      because: `outside publishedRanges (${publishedRanges.join(', ')})`,
      remedy: 'correct the address, or widen publishedRanges on every node',
    }))
}

const publishedIsNotNodeAddress: Rule = ({ published, nodeAddress }) => {
  const index = published?.findIndex((text) => text === nodeAddress) ?? -1
  if (index === -1) return []
  return [
    {
      path: ['published', index],
      because: 'the nodeAddress of this node',
      remedy: 'publish another address: the node address is where peers reach this host itself',
    },
  ]
}

const nodeAddressOutsideRanges: Rule = ({ published, nodeAddress, publishedRanges }) => {
  if (nodeAddress === undefined || published?.includes(nodeAddress)) return []
  const range = publishedRanges?.find((range) => blockContains(range, nodeAddress))
  if (range === undefined) return []
  return [
    {
      path: ['nodeAddress'],
      because: `inside publishedRanges (${range}), where any node of the cluster may announce it`,
      remedy: 'narrow publishedRanges so that it holds published addresses only',
    },
  ]
}

const publishedOnce: Rule = ({ published }) =>
  repeated(
    published,
    (text) => text,
    (path) => ['published', path],
  )

const rangesOnce: Rule = ({ publishedRanges }) =>
  repeated(
    publishedRanges,
    (text) => text,
    (path) => ['publishedRanges', path],
  )

const seedsOnce: Rule = ({ gossip }) =>
  repeated(
    gossip?.seeds,
    (text) => text,
    (path) => ['gossip', 'seeds', path],
  )

const allowedOnce: Rule = ({ gossip }) =>
  repeated(
    gossip?.allow,
    (text) => text,
    (path) => ['gossip', 'allow', path],
  )

const keyFilesOnce: Rule = ({ gossip, clusterKeyFile }) => {
  const others = gossip?.otherClusterKeyFiles
  const same = others?.indexOf(clusterKeyFile ?? '') ?? -1
  const twice = repeated(
    others,
    (text) => text,
    (path) => ['gossip', 'otherClusterKeyFiles', path],
  )
  if (same === -1) return twice
  const problem: RuleProblem = {
    path: ['gossip', 'otherClusterKeyFiles', same],
    because: 'the clusterKeyFile itself',
    remedy: 'name the files of other keys here: the one to come, or the one before',
  }
  return [problem, ...twice]
}

/** On a published address the figures of some other host would answer, or this one's to every client. */
const metricsApart: Rule = ({ metrics, gossip, nodeAddress, publishedRanges }) => {
  const listen = metrics?.listen
  if (listen === undefined) return []
  const address = listen.split(':', 1)[0]!
  const range = publishedRanges?.find((range) => blockContains(range, address))
  const remedy = 'use the node address, 127.0.0.1 or another address of this host alone'
  if (range !== undefined) {
    return [{ path: ['metrics', 'listen'], because: `inside publishedRanges (${range})`, remedy }]
  }
  if (listen !== `${nodeAddress}:${gossip?.port}` && listen !== `0.0.0.0:${gossip?.port}`) return []
  return [{ path: ['metrics', 'listen'], because: 'where gossip listens', remedy: 'use another port' }]
}

const servicesOnce: Rule = ({ services }) =>
  repeated(
    services,
    ({ protocol, port }) => `${protocol}/${port}`,
    (path) => ['services', path],
  )

const interfacesOnce: Rule = ({ attachments }) =>
  repeated(
    attachments,
    (attachment) => attachment.interface,
    (path) => ['attachments', path, 'interface'],
  )

const segmentsOnce: Rule = ({ attachments }) =>
  repeated(
    attachments,
    (attachment) => attachment.segment,
    (path) => ['attachments', path, 'segment'],
  )

const deviceIsNoAttachment: Rule = ({ attachments, datapath }) => {
  const index = attachments?.findIndex((attachment) => attachment.interface === datapath?.device) ?? -1
  if (index === -1) return []
  return [
    {
      path: ['attachments', index, 'interface'],
      because: 'the name of datapath.device, which dpr creates itself',
      remedy: 'name the interface of the network here, and another datapath.device',
    },
  ]
}

const RULES: readonly Rule[] = [
  publishedWithinRanges,
  publishedIsNotNodeAddress,
  nodeAddressOutsideRanges,
  publishedOnce,
  rangesOnce,
  seedsOnce,
  allowedOnce,
  keyFilesOnce,
  metricsApart,
  servicesOnce,
  interfacesOnce,
  segmentsOnce,
  deviceIsNoAttachment,
]

export function checkRules(sections: Sections): RuleProblem[] {
  return RULES.flatMap((rule) => rule(sections))
}

function blockContains(range: string, address: string): boolean {
  const block = parseBlock(range)
  const number = parseAddress(address)
  return block !== undefined && number !== undefined && contains(block, number)
}

/** A problem for every item that an earlier one equals; items without a key are never equal. */
function repeated<Item>(
  items: readonly Item[] | undefined,
  keyOf: (item: Item) => string | undefined,
  pathOf: (index: number) => KeyPath,
): RuleProblem[] {
  const seen = new Set<string>()
  const problems: RuleProblem[] = []
  for (const [index, item] of (items ?? []).entries()) {
    const key = keyOf(item)
    if (key === undefined) continue
    if (seen.has(key)) problems.push({ path: pathOf(index), because: 'listed twice', remedy: 'remove one of the two' })
    seen.add(key)
  }
  return problems
}
