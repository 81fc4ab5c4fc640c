/** A simulation's report for people: the same bytes for the same seed. */
import type { DeathReport, SimulationReport } from '../lab/simulate/report.ts'
import { figures, headline, ms, percent, remarks, thousands } from '../lab/simulate/summary.ts'
import { textTable } from './table.ts'

/** Deaths listed one by one. */
const DEATHS_SHOWN = 20

export function renderSimulation(report: SimulationReport): string {
  const { title, detail } = headline(report.spec)
  const sections = [
    [title, detail].join('\n'),
    textTable(
      [{ title: '' }, { title: '' }],
      figures({ ...report, policies: [] }).map((figure) => [...figure]),
    ),
    ...deaths(report),
    ...policies(report),
    remarks(report)
      .map((remark) => `note: ${remark}`)
      .join('\n'),
  ]
  return sections.join('\n\n')
}

function deaths({ detection }: SimulationReport): string[] {
  if (detection.deaths.length === 0) return []
  const titles = ['DIED', 'WHAT', 'AT', 'FIRST NOTICED', 'BY HALF', 'BY ALL'].map((title, column) => ({
    title,
    align: column < 2 ? ('left' as const) : ('right' as const),
  }))
  const shown = detection.deaths.slice(0, DEATHS_SHOWN)
  const more = detection.deaths.length - shown.length
  return [[textTable(titles, shown.map(deathRow)), ...(more > 0 ? [`and ${more} more`] : [])].join('\n')]
}

function deathRow({ member, kind, atMs, firstMs, medianMs, allMs, unaware }: DeathReport): string[] {
  const time = (value: number | null): string => (value === null ? '-' : ms(value))
  const all = allMs === null ? `${unaware} unaware` : ms(allMs)
  return [member, kind === 'daemon' ? 'daemon killed' : 'power cut', ms(atMs), time(firstMs), time(medianMs), all]
}

function policies(report: SimulationReport): string[] {
  if (report.policies.length === 0) return []
  const titles = ['POLICY', 'MAX ÷ MEAN', 'AT WORST', 'REDIRECTED', 'FLOWS', 'TO DEAD HOSTS'].map((title, column) => ({
    title,
    align: column === 0 ? ('left' as const) : ('right' as const),
  }))
  const rows = report.policies.map(({ policy, imbalance, imbalanceWorst, redirected, arrived, misdirected }) => [
    policy,
    imbalance.toFixed(2),
    imbalanceWorst.toFixed(2),
    percent(redirected),
    thousands(arrived),
    thousands(misdirected),
  ])
  return [textTable(titles, rows)]
}
