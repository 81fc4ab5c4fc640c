/**
 * How long until every other member of five sees a failure: a daemon that is killed (its host answers, so the refused
 * port is proof), and a host whose switch port goes down (silence must last). Both again while every host loses 15 % of
 * all packets. All members are asked every 10 ms, so a figure is up to 10 ms and one answer too large; the clock starts
 * before the fault is made, never after.
 */
import type { DeadReason } from '../../gossip/types.ts'
import type { Lab } from '../../lab/lab.ts'
import { MemberPoll } from './control-poll.ts'
import { members, untilWhole, withFiveMembers } from './detect-lab.ts'
import { LOSS_SHARE, lossCounts, lossProblems, withLoss } from './loss.ts'
import type { LossCount } from './loss.ts'
import { percent, summaryCells } from './report.ts'
import type { BenchResult, Row, Section } from './report.ts'
import { pause } from './run-context.ts'
import type { RunContext } from './run-context.ts'
import { summarize } from './statistics.ts'
import type { Summary } from './statistics.ts'

const POLL_MS = 10
const DEADLINE_MS = 15_000
/** After a fault is mended: awareness and backoff of the members calm down before the next one. */
const SETTLE_MS = 3_000

/** Seconds. */
interface Target {
  median: number
  max?: number
}

interface Fault {
  name: string
  /** Of design section "Numbers to beat", and under loss; seconds. */
  target: Target
  targetUnderLoss: Target
  /** What an observer should conclude. */
  reason: DeadReason
  make(lab: Lab, victim: string): Promise<void>
  mend(lab: Lab, victim: string): Promise<void>
}

const FAULTS: readonly Fault[] = [
  {
    name: 'daemon killed',
    target: { median: 0.3 },
    targetUnderLoss: { median: 3 },
    reason: 'daemon-only',
    make: (lab, victim) => lab.killDaemon(victim, 'SIGKILL'),
    mend: (lab, victim) => lab.startDaemon(victim),
  },
  {
    name: 'host silently cut',
    target: { median: 1.9, max: 2.6 },
    targetUnderLoss: { median: 3 },
    reason: 'silent',
    make: (lab, victim) => lab.killHost(victim),
    mend: (lab, victim) => lab.restoreHost(victim),
  },
]

interface Seen {
  observer: string
  /** Since the clock started; undefined if not within the deadline. */
  afterMs: number | undefined
  reason: DeadReason | undefined
  /** Living members that it took for dead meanwhile. */
  wrong: string[]
}

export interface Round {
  fault: string
  lossy: boolean
  victim: string
  /** Until the act was done: the most by which the figure is too large on that account. */
  actMs: number
  seen: Seen[]
}

export async function benchDetect(context: RunContext): Promise<BenchResult> {
  return withFiveMembers(context, async (lab) => {
    await pause(context, SETTLE_MS)
    const rounds = await runRounds(context, lab, false)
    const { lossy, loss } = await withLoss(lab, members(lab), async () => {
      await pause(context, SETTLE_MS)
      return { lossy: await runRounds(context, lab, true), loss: await lossCounts(lab, members(lab)) }
    })
    const all = [...rounds, ...lossy]
    return { sections: [sectionOf(all, loss)], raw: { rounds: all, loss } }
  })
}

async function runRounds(context: RunContext, lab: Lab, lossy: boolean): Promise<Round[]> {
  const rounds: Round[] = []
  for (const fault of FAULTS) {
    for (let i = 0; i < context.options.rounds; i++) {
      const names = members(lab)
      const round = await runRound(context, lab, fault, lossy, names[i % names.length]!)
      rounds.push(round)
      context.say(`  ${nameOf(fault, lossy)}, ${round.victim}: seen by all after ${shown(seenByAllMs(round))}`)
    }
  }
  return rounds
}

function nameOf({ name }: { name: string }, lossy: boolean): string {
  return lossy ? `${name}, ${percent(LOSS_SHARE)} loss` : name
}

async function runRound(context: RunContext, lab: Lab, fault: Fault, lossy: boolean, victim: string): Promise<Round> {
  const observers = members(lab).filter((name) => name !== victim)
  const polls = observers.map((name) => new MemberPoll(lab.paths(name).socket))
  try {
    for (const poll of polls) await poll.peers()
    const startedMs = performance.now()
    const acted = fault.make(lab, victim).then(() => performance.now() - startedMs)
    const watching = observers.map((observer, i) => watch(context, polls[i]!, observer, victim, startedMs))
    const [actMs, ...seen] = await Promise.all([acted, ...watching])
    return { fault: fault.name, lossy, victim, actMs, seen }
  } finally {
    for (const poll of polls) poll.close()
    if (!context.signal.aborted) {
      await fault.mend(lab, victim)
      await untilWhole(context, lab)
      await pause(context, SETTLE_MS)
    }
  }
}

async function watch(
  context: RunContext,
  poll: MemberPoll,
  observer: string,
  victim: string,
  startedMs: number,
): Promise<Seen> {
  const wrong = new Set<string>()
  for (;;) {
    const askedMs = performance.now()
    const peers = await poll.peers()
    const afterMs = performance.now() - startedMs
    for (const { name, status } of peers) if (name !== victim && status === 'dead') wrong.add(name)
    const dead = peers.find(({ name, status }) => name === victim && status === 'dead')
    if (dead !== undefined) return { observer, afterMs, reason: dead.deadReason, wrong: [...wrong] }
    if (afterMs > DEADLINE_MS) return { observer, afterMs: undefined, reason: undefined, wrong: [...wrong] }
    await pause(context, Math.max(0, POLL_MS - (performance.now() - askedMs)))
  }
}

/** When the last observer saw it; undefined if one did not. */
export function seenByAllMs({ seen }: Round): number | undefined {
  const times = seen.map(({ afterMs }) => afterMs)
  return times.some((time) => time === undefined) ? undefined : Math.max(...(times as number[]))
}

export function sectionOf(rounds: readonly Round[], loss: readonly LossCount[]): Section {
  return {
    title: 'Failed member noticed by all, 5 hosts on 2 segments (serf, for comparison: 5.7 s, at most 7.9 s)',
    how: `Every survivor asked every ${POLL_MS} ms; a round counts when the last of them says dead.`,
    columns: ['target', 'median', '95 % interval', 'verdict', 'max', 'each round', 'by proof or silence as expected'],
    rows: [false, true].flatMap((lossy) => {
      const problems = lossy ? lossProblems(loss) : []
      return FAULTS.map((fault) =>
        problems.length > 0 ? { name: nameOf(fault, lossy), refused: problems } : rowOf(fault, lossy, rounds),
      )
    }),
    remarks: rounds.flatMap(({ fault, lossy, victim, seen }) => {
      const wrong = [...new Set(seen.flatMap((one) => one.wrong))]
      const where = `${nameOf({ name: fault }, lossy)}, ${victim}`
      return wrong.length === 0 ? [] : [`${where}: the living ${wrong.join(', ')} were taken for dead`]
    }),
  }
}

function rowOf(fault: Fault, lossy: boolean, rounds: readonly Round[]): Row {
  const name = nameOf(fault, lossy)
  const target = lossy ? fault.targetUnderLoss : fault.target
  const own = rounds.filter((round) => round.fault === fault.name && round.lossy === lossy)
  const times = own.map(seenByAllMs)
  const missed = own.filter((_round, i) => times[i] === undefined)
  if (missed.length > 0) {
    const victims = missed.map(({ victim }) => victim).join(', ')
    return { name, refused: [`${victims}: not seen by all within ${DEADLINE_MS} ms`] }
  }
  const seconds = (times as number[]).map((ms) => ms / 1_000)
  const summary = summarize(seconds)
  const verdicts = own.flatMap(({ seen }) => seen)
  const expected = verdicts.filter((one) => one.reason === fault.reason).length
  return {
    name,
    cells: [
      ...summaryCells(summary, { atMost: target.median }, inSeconds),
      shownMax(summary, target.max),
      seconds.map((value) => value.toFixed(2)).join(' '),
      `${expected} of ${verdicts.length}`,
    ],
  }
}

function shownMax({ max }: Summary, target: number | undefined): string {
  if (target === undefined) return inSeconds(max)
  return `${inSeconds(max)} (≤ ${inSeconds(target)}: ${max <= target ? 'met' : 'missed'})`
}

function inSeconds(value: number): string {
  return `${value.toFixed(2)} s`
}

function shown(ms: number | undefined): string {
  return ms === undefined ? 'never' : inSeconds(ms / 1_000)
}
