/** What the scenarios have in common: a cluster that has formed, and questions about what its members said since. */
import { expect } from 'vitest'
import type { MemberStatus } from '../../gossip/types.ts'
import { SimulatedCluster } from '../../lab/simulate/cluster.ts'
import type { ClusterSpec, RecordedEvent } from '../../lab/simulate/cluster.ts'

const FORMED_WITHIN_MS = 15_000
/** After the last has joined: probes are under way, nobody is new any more. */
const SETTLED_MS = 2_000
const ASKED_ALWAYS_MAX = 20

/** Members 0 to n − 1, all alive in all views. */
export async function settled(members: number, spec: Partial<ClusterSpec> = {}): Promise<SimulatedCluster> {
  const cluster = await SimulatedCluster.create({ seed: 20_261, members, ...spec })
  cluster.startAll()
  timeUntil(cluster, 'the cluster forms', FORMED_WITHIN_MS, () => cluster.converged())
  cluster.run(SETTLED_MS)
  return cluster
}

/** Virtual time until the condition holds; fails if it does not in time. */
export function timeUntil(cluster: SimulatedCluster, what: string, ms: number, holds: () => boolean): number {
  const startedMs = cluster.nowMs
  // To ask a large cluster after every event takes longer than the events do.
  const stepMs = cluster.size > ASKED_ALWAYS_MAX ? 10 : ms
  let held = false
  while (!held && cluster.nowMs < startedMs + ms)
    held = cluster.run(stepMs, stepMs === ms ? holds : undefined) || holds()
  expect(held, `${what} within ${ms} ms`).toBe(true)
  return cluster.nowMs - startedMs
}

/** The statuses that `subject` was given since, by `viewer` or by anybody. */
export function said(
  cluster: SimulatedCluster,
  sinceMs: number,
  of: { viewer?: number; subject?: number },
): MemberStatus[] {
  return changes(cluster, sinceMs)
    .filter(({ viewer }) => of.viewer === undefined || viewer === of.viewer)
    .filter(({ subject }) => of.subject === undefined || subject === of.subject)
    .flatMap(({ event }) => (event.type === 'status' || event.type === 'joined' ? [event.member.status] : []))
}

export function changes(cluster: SimulatedCluster, sinceMs: number): RecordedEvent[] {
  return cluster.events.filter(({ atMs, viewer, subject }) => atMs >= sinceMs && viewer !== subject)
}

export function incarnationOf(cluster: SimulatedCluster, member: number): number {
  return cluster.view(member, member)!.facts.incarnation
}

/** `count` numbers from `first`. */
export function range(count: number, first = 0): number[] {
  return Array.from({ length: count }, (_, i) => first + i)
}

/** Somebody who lies for as long as this runs: `liar` claims, again and again, that the victim's port refused it. */
export function runWithLiar(cluster: SimulatedCluster, liar: number, victim: number, ms: number): void {
  const untilMs = cluster.nowMs + ms
  while (cluster.nowMs < untilMs) {
    // Its core believes it, so the accusation is signed, and travels with its next exchanges.
    cluster.peer(liar).core.refused(cluster.nowMs, cluster.idOf(victim))
    cluster.run(LIE_EVERY_MS)
  }
}

const LIE_EVERY_MS = 50
