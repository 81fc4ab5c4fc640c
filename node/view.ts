/**
 * The look at the cluster from which everything else follows: the policy's view, the snapshot for the engine and the
 * answers of the control socket are all built from it. Pure: membership, engine state and time in, one value out.
 */
import type { EngineState } from '../datapath/engine.ts'
import type { AddressingMode } from '../datapath/snapshot.ts'
import type { Attachment, Member } from '../gossip/types.ts'
import type { PolicyMember, PolicyView } from '../policy/types.ts'
import { announcerOf, commonSegment, publishedView, type PublishedView, type Rendezvous } from './claims.ts'
import type { Block } from './ipv4.ts'
import type { MemberHistory } from './member-history.ts'
import type { IndexedMember, MemberIndex } from './member-index.ts'

/** A member with everything that this node concludes about it. */
export interface KnownMember {
  member: Member
  index: number
  generation: number
  /** How packets get there from here, or why they do not. */
  mode: AddressingMode | undefined
  /** Our side of the common segment, with `mac` only. */
  link: { ours: Attachment; theirs: Attachment } | undefined
  /** Whether it accepts every address that we announce. */
  acceptsOurs: boolean
  policy: PolicyMember
}

export interface ClusterView {
  self: KnownMember
  members: KnownMember[]
  published: PublishedView
  /** Published addresses that this node announces. */
  announced: string[]
  policyView: PolicyView
  warnings: string[]
  /** The part that stays as long as the membership does. */
  standing: Standing
}

/** What follows from who is a member, from statuses and from facts; loads and flows leave it as it is. */
export interface Standing {
  readonly members: readonly StandingMember[]
  readonly published: PublishedView
  readonly announced: string[]
  readonly warnings: string[]
}

type StandingMember = Omit<KnownMember, 'member' | 'policy'> & {
  readonly id: string
  readonly status: Member['status']
  readonly health: PolicyMember['health']
  /** It may serve, if it is reachable. */
  readonly able: boolean
  readonly hash: readonly [number, number]
}

export interface ViewInputs {
  members: readonly Member[]
  engine: EngineState
  attachments: readonly Attachment[]
  addressing: 'auto' | 'mac' | 'ipip'
  ranges: readonly Block[]
  gateways: ReadonlySet<string>
  index: MemberIndex
  history: MemberHistory
  /** Two keyed hashes of an identity. */
  hashes: (id: string) => readonly [number, number]
  rendezvous: Rendezvous
  nowMs: number
}

/** @param standing of the same membership, if there is one: saves the larger part of the work */
export function buildView(inputs: ViewInputs, standing = buildStanding(inputs)): ClusterView {
  // Members beyond the last index have no place in it, hence the second cursor.
  let next = 0
  const known: KnownMember[] = []
  for (const member of inputs.members) {
    const fixed = standing.members[next]
    if (fixed === undefined || fixed.id !== member.facts.id) continue
    next++
    known.push(conclude(member, fixed, inputs))
  }
  const self = known.find(({ member }) => member.self)
  if (self === undefined) throw new Error('the membership does not list this node')
  return {
    self,
    members: known,
    published: standing.published,
    announced: standing.announced,
    policyView: { members: known.map(({ policy }) => policy) },
    warnings: standing.warnings,
    standing,
  }
}

export function buildStanding(inputs: ViewInputs): Standing {
  const { members, index, history } = inputs
  const ids = new Set(members.map(({ facts }) => facts.id))
  index.keepOnly(ids)
  history.keepOnly(ids)
  const published = publishedView(members, inputs.ranges, inputs.gateways)
  const warnings = [...published.refused]
  const announced: string[] = []
  for (const { address, homes } of published.addresses) {
    const announcer = announcerOf(address, members, inputs.rendezvous)
    if (announcer?.self === true) announced.push(address)
    if (homes.length > 1) {
      const names = homes.map(({ facts }) => facts.name).join(' and ')
      warnings.push(`${address} is published by ${names}; ${announcer?.facts.name ?? 'nobody'} announces it`)
    }
  }
  const standing: StandingMember[] = []
  for (const member of members) {
    const given = index.take(member.facts.id)
    if (given === undefined) warnings.push(`no index is left for ${member.facts.name}: it gets no flows from here`)
    else standing.push(stand(member, given, announced, inputs))
  }
  warnings.push(...nameWarnings(members))
  return { members: standing, published, announced, warnings }
}

function stand(
  member: Member,
  { index, generation }: IndexedMember,
  announced: readonly string[],
  inputs: ViewInputs,
): StandingMember {
  const { facts, status, self } = member
  const link = self ? undefined : commonSegment(inputs.attachments, facts.attachments)
  const mode = self ? 'self' : status === 'left' ? undefined : modeTo(link !== undefined, inputs.addressing)
  const acceptsOurs = self || announced.every((address) => facts.accepts.includes(address))
  const health = worstHealth(member)
  return {
    id: facts.id,
    status,
    index,
    generation,
    mode,
    link: mode === 'mac' ? link : undefined,
    acceptsOurs,
    health,
    able: status === 'alive' && !facts.draining && health === 'healthy' && acceptsOurs,
    hash: inputs.hashes(facts.id),
  }
}

function conclude(member: Member, fixed: StandingMember, inputs: ViewInputs): KnownMember {
  const { facts, report, status, self } = member
  const { index, mode, acceptsOurs, able, health, hash } = fixed
  const flows = inputs.engine.flowsByMember[index] ?? 0
  const { flowsAtReport, eligibleForMs } = inputs.history.observe(member, able, flows, inputs.nowMs)
  return {
    member,
    index,
    generation: fixed.generation,
    mode,
    link: fixed.link,
    acceptsOurs,
    policy: {
      index,
      id: facts.id,
      hash,
      self,
      status,
      health,
      draining: facts.draining,
      reachable: self || (mode !== undefined && acceptsOurs),
      capacity: facts.capacity,
      capacityFlows: facts.capacityFlows,
      load: report.load,
      reportAgeMs: self ? 0 : report.ageMs,
      myFlows: self ? 0 : flows,
      myFlowsAtReport: self ? 0 : flowsAtReport,
      eligibleForMs,
    },
  }
}

function modeTo(sameSegment: boolean, addressing: 'auto' | 'mac' | 'ipip'): AddressingMode | undefined {
  if (addressing === 'ipip') return 'ipip'
  if (sameSegment) return 'mac'
  return addressing === 'auto' ? 'ipip' : undefined
}

function worstHealth({ facts }: Member): PolicyMember['health'] {
  const all = facts.services.map(({ health }) => health)
  if (all.includes('refused')) return 'refused'
  return all.includes('failing') ? 'failing' : 'healthy'
}

function nameWarnings(members: readonly Member[]): string[] {
  const seen = new Map<string, number>()
  for (const { facts } of members.filter(({ status }) => status !== 'left'))
    seen.set(facts.name, (seen.get(facts.name) ?? 0) + 1)
  return [...seen].filter(([, count]) => count > 1).map(([name, count]) => `${count} members are named ${name}`)
}
