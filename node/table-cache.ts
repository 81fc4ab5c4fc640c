/**
 * A policy is asked ten times a second, and most of the time nothing has happened that it would answer to. Asked again
 * with the same inputs it gives the same table (policies are pure), so the last answer is kept. What counts as the same
 * is what a policy reads: ages and waiting times matter only in the ranges in which they fade or ramp.
 */
import type { PolicySettings, PolicyView, RoutingTable } from '../policy/types.ts'

/** Numbers of a member that change between two looks at one and the same membership. */
const FIELDS = 5

export class TableCache {
  #membership: unknown
  #inputs: Float64Array = new Float64Array(0)
  #table: RoutingTable | undefined

  /**
   * The table for this view: the very object that was returned last if nothing a policy reads has changed, or if the
   * answer to the change is the same.
   * @param membership stands for everything about the members that does not change within it; compared by identity
   */
  get(membership: unknown, view: PolicyView, settings: PolicySettings, compute: () => RoutingTable): RoutingTable {
    const inputs = readInputs(view, settings)
    if (this.#table !== undefined && membership === this.#membership && sameNumbers(inputs, this.#inputs)) {
      return this.#table
    }
    const table = compute()
    this.#membership = membership
    this.#inputs = inputs
    if (this.#table === undefined || !sameTable(table, this.#table)) this.#table = table
    return this.#table
  }
}

function readInputs({ members }: PolicyView, settings: PolicySettings): Float64Array {
  const inputs = new Float64Array(members.length * FIELDS)
  let at = 0
  for (const member of members) {
    const { reportAgeMs, eligibleForMs } = member
    inputs[at++] = member.load
    inputs[at++] = reportAgeMs <= settings.reportFreshMs ? 0 : Math.min(reportAgeMs, settings.reportStaleMs)
    inputs[at++] = eligibleForMs >= settings.slowStartMs ? Infinity : eligibleForMs
    inputs[at++] = member.myFlows
    inputs[at++] = member.myFlowsAtReport
  }
  return inputs
}

/** NaN, from a load source that is broken, equals itself here. */
function sameNumbers(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false
  return true
}

function sameTable(a: RoutingTable, b: RoutingTable): boolean {
  return (
    a.localLimit === b.localLimit &&
    a.stateless === b.stateless &&
    sameNumbers(a.ring, b.ring) &&
    sameNumbers(a.fallback, b.fallback)
  )
}
