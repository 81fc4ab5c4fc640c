/**
 * GET/s through DPR ÷ direct: the price of the extra hop, and of the engine where there is none. Client, router and both
 * hosts share this machine's cores, so every cycle that DPR takes is missing elsewhere: the ratio is a lower bound of
 * what separate machines would show.
 *
 *   redirected   client ─▶ router ─▶ h1 (policy router: nothing stays) ─▶ h2 ─▶ client   ÷   client ─▶ router ─▶ h2
 *   local        client ─▶ router ─▶ h1 through its engine (policy local)                ÷   the same h1, no engine
 */
import type { Lab } from '../../lab/lab.ts'
import type { LabSpecOptions } from '../../lab/spec.ts'
import { NGINX_SERVER } from '../integration/nginx.ts'
import { countsAtRest, grownCounts, withLab } from './bench-lab.ts'
import { runProblems } from './get-checks.ts'
import type { CheckedRun, Way } from './get-checks.ts'
import { RATIO_COLUMNS, count, ratioCells } from './report.ts'
import type { BenchResult, Row } from './report.ts'
import type { RunContext } from './run-context.ts'
import { median, pairedRatios } from './statistics.ts'
import { CONNECTIONS, runWrk } from './wrk.ts'

interface GetRow {
  name: string
  way: Exclude<Way, 'direct'>
  connectionPerGet: boolean
  /** Of design section "Numbers to beat"; ratio. */
  target: number
}

const REDIRECTED = 0.75
const LOCAL = 0.85

/** Rows that share a lab. */
const GROUPS: readonly { lab: LabSpecOptions; rows: readonly GetRow[] }[] = [
  {
    lab: { policy: 'router', addressing: 'mac' },
    rows: [
      { name: 'redirected by mac, keep-alive', way: 'mac', connectionPerGet: false, target: REDIRECTED },
      { name: 'redirected by mac, a connection per GET', way: 'mac', connectionPerGet: true, target: REDIRECTED },
    ],
  },
  {
    lab: { policy: 'router', addressing: 'ipip' },
    rows: [{ name: 'redirected by ipip, keep-alive', way: 'ipip', connectionPerGet: false, target: REDIRECTED }],
  },
  {
    lab: { policy: 'local' },
    rows: [{ name: 'all local through the engine, keep-alive', way: 'local', connectionPerGet: false, target: LOCAL }],
  },
]

const WARM_UP_SECONDS_MAX = 2

/** A run with what was counted meanwhile, and what speaks against it. */
interface GetRun extends CheckedRun {
  problems: string[]
}

interface GetRaw {
  name: string
  through: GetRun[]
  direct: GetRun[]
}

export async function benchGet(context: RunContext): Promise<BenchResult> {
  const rows: Row[] = []
  const raw: GetRaw[] = []
  for (const group of GROUPS) {
    const spec = { segments: 1, hostsPerSegment: 2, server: NGINX_SERVER, ...group.lab }
    await withLab(context, spec, async (lab) => {
      for (const row of group.rows) {
        const runs = await measure(context, lab, row)
        raw.push(runs)
        rows.push(report(row, runs))
      }
    })
  }
  const { pairs, seconds } = context.options
  const section = {
    title: 'GET/s through DPR ÷ direct',
    how:
      `nginx with one worker, wrk -t1 -c${CONNECTIONS} -d${seconds}; pairs: ${pairs}, through and direct in turns, after a ` +
      'discarded warm-up of each.',
    columns: RATIO_COLUMNS,
    rows,
    remarks: dropRemarks(raw),
  }
  return { sections: [section], raw }
}

async function measure(context: RunContext, lab: Lab, row: GetRow): Promise<GetRaw> {
  const { pairs, seconds } = context.options
  const h1 = lab.host('h1')
  const server = row.way === 'local' ? h1 : lab.host('h2')
  const args = row.connectionPerGet ? ['-H', 'Connection: close'] : []
  const runOne = async (way: Way, duration: number): Promise<GetRun> => {
    const address = way === 'direct' ? server.address : h1.published[0]!
    const before = await countsAtRest(context, lab)
    const wrk = await runWrk(lab, `http://${address}/`, duration, args, context.signal)
    const after = await countsAtRest(context, lab)
    const run = { wrk, h1: grownCounts(before, after, 'h1'), h2: grownCounts(before, after, 'h2') }
    return { ...run, problems: runProblems(way, row.connectionPerGet, run) }
  }
  const warmUp = Math.min(seconds, WARM_UP_SECONDS_MAX)
  for (const way of [row.way, 'direct'] as const) await runOne(way, warmUp)
  const runs: GetRaw = { name: row.name, through: [], direct: [] }
  for (let pair = 1; pair <= pairs; pair++) {
    runs.through.push(await runOne(row.way, seconds))
    runs.direct.push(await runOne('direct', seconds))
    const [a, b] = [runs.through.at(-1)!.wrk.requestsPerSecond, runs.direct.at(-1)!.wrk.requestsPerSecond]
    context.say(`  ${row.name}: pair ${pair} of ${pairs}: ${count(a)} ÷ ${count(b)} GET/s`)
  }
  return runs
}

function report({ name, target }: GetRow, { through, direct }: GetRaw): Row {
  const problems = [...new Set([...through, ...direct].flatMap((run) => run.problems))]
  if (problems.length > 0) return { name, refused: problems }
  const [ours, reference] = [through, direct].map((runs) => runs.map((run) => run.wrk.requestsPerSecond))
  const rate = (values: readonly number[]): string => `${count(median(values))}/s`
  const ratios = pairedRatios(ours!, reference!)
  return { name, cells: ratioCells(ratios, { atLeast: target }, rate(ours!), rate(reference!)) }
}

/** Dropped packets are part of the price and stay in the figure; a reader should know of them. */
function dropRemarks(raw: readonly GetRaw[]): string[] {
  return raw.flatMap(({ name, through }) => {
    const dropped = through.reduce((sum, run) => sum + run.h1.dropped + run.h2.dropped, 0)
    return dropped === 0 ? [] : [`${name}: the engines dropped ${count(dropped)} packets; TCP sent them again`]
  })
}
