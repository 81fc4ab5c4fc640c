/** Runs one history, with the invariants checked after each step; and finds the shortest part of it that fails. */
import { SimulatedCluster } from '../../lab/simulate/cluster.ts'
import { Invariants, Violation } from './swarm-invariants.ts'
import type { Act, Schedule, Step } from './swarm-schedule.ts'

/** Events of the virtual clock in one go, per member: more is a timer that never ends. */
const EVENTS_PER_MEMBER_MAX = 100_000
const FORMING_MS = 4_000

/** The first violation, after how many steps; undefined if all held. */
export async function violationOf(schedule: Schedule): Promise<{ what: string; steps: number } | undefined> {
  const { seed, members, model, seeds, steps } = schedule
  const cluster = await SimulatedCluster.create({ seed, members, network: { model }, seeds, recordEvents: false })
  const invariants = new Invariants(cluster)
  let done = 0
  try {
    cluster.startAll()
    pass(cluster, FORMING_MS)
    for (const { act, thenMs } of steps) {
      perform(cluster, invariants, act)
      invariants.look()
      done++
      pass(cluster, thenMs)
      invariants.check()
    }
    cluster.heal()
    invariants.healed()
    cluster.setLoss(0)
    invariants.lossSet(0)
    for (let member = 0; member < members; member++) cluster.slow(member, 0)
    const pausedMs = Math.max(0, ...steps.map(({ act }) => (act.type === 'pause' ? act.ms : 0)))
    pass(cluster, pausedMs)
    invariants.check()
    pass(cluster, invariants.quietMs + 1)
    invariants.checkFinally()
    return undefined
  } catch (error) {
    // Anything else that is thrown is a violation as well: nothing may be.
    return { what: error instanceof Violation ? error.message : shown(error), steps: done }
  }
}

function pass(cluster: SimulatedCluster, ms: number): void {
  const limit = cluster.clock.ran + EVENTS_PER_MEMBER_MAX * cluster.size
  cluster.run(ms, () => {
    if (cluster.clock.ran > limit) throw new Violation(`time stands still at ${cluster.nowMs} ms`)
    return false
  })
}

/** Does it, and tells the invariants as far as they cannot see it. */
function perform(cluster: SimulatedCluster, invariants: Invariants, act: Act): void {
  switch (act.type) {
    case 'pause':
      if (!cluster.isUp(act.member)) break
      cluster.pause(act.member, act.ms)
      invariants.paused(act.member, act.ms)
      break
    case 'slow':
      cluster.slow(act.member, act.ms)
      break
    case 'cut':
      if (act.from === act.to) break
      cluster.cut(act.from, act.to)
      invariants.cut()
      break
    case 'partition':
      cluster.partition([], act.side)
      invariants.cut()
      break
    case 'heal':
      cluster.heal()
      invariants.healed()
      break
    case 'loss':
      cluster.setLoss(act.share)
      invariants.lossSet(act.share)
      break
    case 'facts':
      cluster.setFacts(act.member, { capacity: act.capacity })
      break
    case 'restart':
      cluster.restart(act.member)
      invariants.reborn(act.member)
      break
    case 'crash':
    case 'killDaemon':
    case 'start':
    case 'leave':
      cluster[act.type](act.member)
  }
}

/** The same history with as few steps as still fail: halves, quarters … are left out in turns (Zeller's ddmin). */
export async function shortest(schedule: Schedule): Promise<Schedule> {
  let { steps } = schedule
  for (let size = Math.ceil(steps.length / 2); size >= 1;) {
    const shorter = await firstFailing(schedule, without(steps, size))
    if (shorter !== undefined) steps = shorter
    else if (size === 1) break
    else size = Math.ceil(size / 2)
  }
  return { ...schedule, steps }
}

async function firstFailing(schedule: Schedule, candidates: readonly Step[][]): Promise<Step[] | undefined> {
  for (const steps of candidates) if ((await violationOf({ ...schedule, steps })) !== undefined) return steps
  return undefined
}

function without(steps: readonly Step[], size: number): Step[][] {
  const count = Math.ceil(steps.length / size)
  return Array.from({ length: count }, (_, i) => steps.filter((_step, at) => at < i * size || at >= (i + 1) * size))
}

function shown(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
