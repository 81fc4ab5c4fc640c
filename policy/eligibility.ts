/**
 * Who may serve, and who may receive new flows from here: the rules that all policies share, panic included.
 *
 *     dead, left ── never
 *     draining ──── finishes what it has, takes nothing new
 *     refused ───── a fact (the port answers with a RST): never ignored
 *     failing ───── timeout or 5xx, may be the checker's fault or plain overload: sheds load only while the healthy
 *                   members can carry the cluster's load, else shedding would bring down one after the other
 *     suspect ───── counts for the average, receives nothing; unless more than a third of the view is suspect, when
 *                   it is probably this node that hears badly and suspicion changes nothing
 *     unreachable ─ alive by gossip, but the packet path from here is broken: receives nothing from here
 */
import { PolicyError } from './errors.ts'
import { averageLoad, totalCapacity } from './readings.ts'
import type { Reading } from './readings.ts'

export interface Service {
  readonly self: Reading
  /** Whether new flows may stay on this host. */
  readonly selfServes: boolean
  /** Whose loads make the cluster's average: alive or suspect, healthy enough, not draining. Ordered by id. */
  readonly inService: readonly Reading[]
  /** Who may receive new flows from here, self included if it serves. Ordered by id. */
  readonly eligible: readonly Reading[]
}

/** @throws PolicyError `E_POLICY_VIEW` if no member is self, which is the caller's bug */
export function whoServes(readings: readonly Reading[]): Service {
  const self = readings.find(({ member }) => member.self)
  if (self === undefined) {
    throw new PolicyError('E_POLICY_VIEW', 'no member of the view is self', 'Mark this node in the view it builds.')
  }
  const living = readings.filter(({ member }) => member.status === 'alive' || member.status === 'suspect')
  const avoided = suspects(living)
  const candidates = living.filter(({ member }) => !member.draining && member.health !== 'refused')
  const mayReceive = ({ member }: Reading) => member.self || (member.reachable && !avoided.has(member.id))

  const healthy = candidates.filter(({ member }) => member.health === 'healthy')
  const carrying = healthy.filter(({ member }) => !avoided.has(member.id))
  const panic = !healthy.some(mayReceive) || totalCapacity(carrying) < clusterLoad(living)
  const inService = panic ? candidates : healthy
  return { self, selfServes: inService.includes(self), inService, eligible: inService.filter(mayReceive) }
}

/** Ids of the members to avoid for being suspect. Nobody suspects itself. */
function suspects(living: readonly Reading[]): ReadonlySet<string> {
  const ids = living.filter(({ member }) => member.status === 'suspect' && !member.self).map(({ member }) => member.id)
  return new Set(ids.length * 3 > living.length ? [] : ids)
}

/**
 * What the cluster has to carry, in units of capacity: Σ load·capacity of all who still serve anybody, failing and
 * draining ones included since their clients come back elsewhere. It does not change when flows move between members,
 * so panic does not switch itself off. A member whose report is too old is taken for average.
 */
function clusterLoad(living: readonly Reading[]): number {
  const serving = living.filter(({ member }) => member.health !== 'refused')
  return averageLoad(serving) * totalCapacity(serving)
}
