/** Who may serve and who may receive, one member and one rule at a time. Slow, and without any bounding of numbers. */
import type { PolicyMember, PolicySettings, PolicyView } from '../../../policy/types.ts'

/** How far a report is believed, 0 to 1. */
export function belief(member: PolicyMember, settings: PolicySettings): number {
  if (member.reportAgeMs <= settings.reportFreshMs) return 1
  if (member.reportAgeMs >= settings.reportStaleMs) return 0
  return 1 - (member.reportAgeMs - settings.reportFreshMs) / (settings.reportStaleMs - settings.reportFreshMs)
}

export function meanLoad(members: readonly PolicyMember[], settings: PolicySettings): number {
  const believed = members.filter((member) => belief(member, settings) > 0)
  if (believed.length === 0) return 0
  const weights = believed.map((member) => member.capacity * belief(member, settings))
  return sum(believed.map((member, m) => member.load * weights[m]!)) / sum(weights)
}

function isLiving(member: PolicyMember): boolean {
  return member.status === 'alive' || member.status === 'suspect'
}

/** At most a third of the view is suspect. */
export function suspicionCounts(view: PolicyView): boolean {
  const living = view.members.filter(isLiving)
  return living.filter((member) => member.status === 'suspect' && !member.self).length <= living.length / 3
}

function isAvoided(member: PolicyMember, view: PolicyView): boolean {
  return !member.self && member.status === 'suspect' && suspicionCounts(view)
}

function isHealthyAndWilling(member: PolicyMember): boolean {
  return isLiving(member) && member.health === 'healthy' && !member.draining
}

export function isPanic(view: PolicyView, settings: PolicySettings): boolean {
  const carrying = view.members.filter((member) => isHealthyAndWilling(member) && !isAvoided(member, view))
  if (!carrying.some((member) => member.self || member.reachable)) return true
  const loaded = view.members.filter((member) => isLiving(member) && member.health !== 'refused')
  const clusterLoad = meanLoad(loaded, settings) * sum(loaded.map((member) => member.capacity))
  return sum(carrying.map((member) => member.capacity)) < clusterLoad
}

export function isInService(member: PolicyMember, view: PolicyView, settings: PolicySettings): boolean {
  if (isHealthyAndWilling(member)) return true
  return isLiving(member) && !member.draining && member.health === 'failing' && isPanic(view, settings)
}

export function mayReceive(member: PolicyMember, view: PolicyView, settings: PolicySettings): boolean {
  if (!isInService(member, view, settings)) return false
  return member.self || (member.reachable && !isAvoided(member, view))
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
