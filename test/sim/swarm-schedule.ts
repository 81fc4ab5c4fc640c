/**
 * A random history of a cluster, as plain data made of a seed: what happens to whom, and how long until the next thing
 * does. Being data it can be shortened (swarm-run.ts) and printed as a sentence a line.
 */
import type { NetworkModel } from '../../lab/simulate/connection.ts'
import { seededRandom } from '../gossip/fixtures.ts'

export type Act =
  | { type: 'pause'; member: number; ms: number }
  | { type: 'crash' | 'killDaemon' | 'start' | 'restart' | 'leave'; member: number }
  | { type: 'slow'; member: number; ms: number }
  | { type: 'cut'; from: number; to: number }
  | { type: 'partition'; side: readonly number[] }
  | { type: 'heal' }
  | { type: 'loss'; share: number }
  | { type: 'facts'; member: number; capacity: number }

export interface Step {
  act: Act
  /** Virtual time until the next step. */
  thenMs: number
}

export interface Schedule {
  seed: number
  members: number
  model: NetworkModel
  seeds: readonly number[]
  steps: readonly Step[]
}

const MEMBERS = [3, 12] as const
const STEPS = [6, 16] as const
const WAIT_MS = [20, 4_000] as const
const PAUSE_MS = [50, 12_000] as const
const LOSS_MAX = 0.2
const SLOW_MS = 10

/** How often each act is drawn. Healing and starting are as likely as what they undo. */
const WEIGHTS: readonly (readonly [Act['type'], number])[] = [
  ['pause', 4],
  ['crash', 2],
  ['killDaemon', 2],
  ['start', 5],
  ['restart', 3],
  ['leave', 1],
  ['slow', 1],
  ['cut', 3],
  ['partition', 2],
  ['heal', 4],
  ['loss', 2],
  ['facts', 1],
]

export function scheduleOf(seed: number): Schedule {
  const random = seededRandom(seed)
  const whole = ([least, most]: readonly [number, number]): number => least + Math.floor(random() * (most - least + 1))
  /** Short and long ones alike. */
  const time = ([least, most]: readonly [number, number]): number =>
    Math.round(least * Math.exp(random() * Math.log(most / least)))
  const members = whole(MEMBERS)
  const member = (): number => Math.floor(random() * members)
  const act = (): Act => {
    const type = weighted(random)
    switch (type) {
      case 'pause':
        return { type, member: member(), ms: time(PAUSE_MS) }
      case 'slow':
        return { type, member: member(), ms: random() < 0.5 ? 0 : SLOW_MS }
      case 'cut':
        return { type, from: member(), to: member() }
      case 'partition':
        return { type, side: Array.from({ length: members }, (_, i) => i).filter(() => random() < 0.5) }
      case 'heal':
        return { type }
      case 'loss':
        return { type, share: random() < 0.3 ? 0 : Math.round(random() * LOSS_MAX * 100) / 100 }
      case 'facts':
        return { type, member: member(), capacity: whole([1, 9]) }
      case 'crash':
      case 'killDaemon':
      case 'start':
      case 'restart':
      case 'leave':
        break
    }
    return { type, member: member() }
  }
  return {
    seed,
    members,
    model: random() < 0.5 ? 'streams' : 'datagrams',
    seeds: random() < 0.5 ? [0] : [0, 1, 2],
    steps: Array.from({ length: whole(STEPS) }, () => ({ act: act(), thenMs: time(WAIT_MS) })),
  }
}

function weighted(random: () => number): Act['type'] {
  let rest = random() * WEIGHTS.reduce((sum, [, weight]) => sum + weight, 0)
  for (const [type, weight] of WEIGHTS) if ((rest -= weight) < 0) return type
  return 'heal'
}

/** For people. */
export function told({ seed, members, model, seeds, steps }: Schedule): string {
  const lines = steps.map(({ act, thenMs }) => `  ${wordsOf(act)}; ${thenMs} ms`)
  return [`seed ${seed}: ${members} members, ${model}, seeds ${seeds.join(' ')}`, ...lines].join('\n')
}

function wordsOf(act: Act): string {
  switch (act.type) {
    case 'pause':
    case 'slow':
      return `${act.type} ${act.member} by ${act.ms} ms`
    case 'cut':
      return `cut ${act.from} > ${act.to}`
    case 'partition':
      return `partition: ${act.side.join(' ')} on the other side`
    case 'heal':
      return 'heal'
    case 'loss':
      return `loss ${act.share}`
    case 'facts':
      return `facts of ${act.member}`
    case 'crash':
    case 'killDaemon':
    case 'start':
    case 'restart':
    case 'leave':
      break
  }
  return `${act.type} ${act.member}`
}
