/**
 * Who announces a published address, and which addresses are published at all. Pure: views in, decisions out.
 *
 * The announcer is the claimant, alive or suspect, with the highest epoch; ties go to the highest rendezvous hash of
 * (address, id), so that all nodes with the same view agree without talking (Thaler and Ravishankar 1998).
 */
import type { Attachment, Member } from '../gossip/types.ts'
import { contains, parseAddress, type Block } from './ipv4.ts'

/** More cannot be accepted by a host, nor said in a record; the first by number stay. */
const PUBLISHED_MAX = 1_024

/** Keyed hash of an address and an identity, an unsigned number. */
export type Rendezvous = (address: string, id: string) => number

function present({ status }: Member): boolean {
  return status === 'alive' || status === 'suspect'
}

/** The member whose claim to the address counts, if any. */
export function announcerOf(address: string, members: readonly Member[], rendezvous: Rendezvous): Member | undefined {
  let best: { member: Member; epoch: number; hash: number } | undefined
  for (const member of members) {
    if (!present(member)) continue
    const claim = member.facts.announces.find((candidate) => candidate.address === address)
    if (claim === undefined) continue
    const hash = rendezvous(address, member.facts.id)
    if (best === undefined || claim.epoch > best.epoch || (claim.epoch === best.epoch && hash > best.hash)) {
      best = { member, epoch: claim.epoch, hash }
    }
  }
  return best?.member
}

export interface PublishedAddress {
  address: string
  /** The members that list it, present or not; more than one is a mistake that status shows. */
  homes: Member[]
}

export interface PublishedView {
  addresses: PublishedAddress[]
  /** One sentence per address that somebody publishes and nobody may. */
  refused: string[]
}

/**
 * The published addresses of the whole cluster, dead members' included: their clients are still out there. Refused is
 * what lies outside the ranges, is a member's own address, or is a router of ours: one typo in one configuration must
 * not take the gateway from everybody.
 */
export function publishedView(
  members: readonly Member[],
  ranges: readonly Block[],
  gateways: ReadonlySet<string>,
): PublishedView {
  const nodeAddresses = new Map<string, string>()
  for (const { facts } of members) {
    nodeAddresses.set(facts.gossipAddress, facts.name)
    for (const { address } of facts.attachments) nodeAddresses.set(address, facts.name)
  }
  const homes = new Map<string, Member[]>()
  const refused: string[] = []
  for (const member of members) {
    if (member.status === 'left') continue
    for (const address of member.facts.homes) {
      const why = refusal(address, ranges, nodeAddresses, gateways)
      if (why !== undefined) refused.push(`${member.facts.name} publishes ${address}, ${why}: refused`)
      else homes.set(address, [...(homes.get(address) ?? []), member])
    }
  }
  const addresses = [...homes].map(([address, list]) => ({ address, homes: list }))
  addresses.sort((a, b) => parseAddress(a.address)! - parseAddress(b.address)!)
  for (const { address } of addresses.splice(PUBLISHED_MAX)) {
    refused.push(`${address} is one published address more than the ${PUBLISHED_MAX} that a cluster can have: refused`)
  }
  return { addresses, refused }
}

function refusal(
  address: string,
  ranges: readonly Block[],
  nodeAddresses: ReadonlyMap<string, string>,
  gateways: ReadonlySet<string>,
): string | undefined {
  const value = parseAddress(address)
  if (value === undefined) return 'which is no IPv4 address'
  if (!ranges.some((range) => contains(range, value))) return 'which lies outside publishedRanges'
  const owner = nodeAddresses.get(address)
  if (owner !== undefined) return `which is the node address of ${owner}`
  return gateways.has(address) ? 'which is a router of this host' : undefined
}

/** The way from us to a member: the first segment that both are attached to, or none. */
export function commonSegment(
  ours: readonly Attachment[],
  theirs: readonly Attachment[],
): { ours: Attachment; theirs: Attachment } | undefined {
  for (const mine of ours) {
    const other = theirs.find(({ segment }) => segment === mine.segment)
    if (other !== undefined) return { ours: mine, theirs: other }
  }
  return undefined
}
