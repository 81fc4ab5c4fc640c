/**
 * A simulation's report as pictures: one SVG of several panels, drawn by echarts without a browser. Deterministic: no
 * animation, no date, nothing of the machine.
 */
import { LineChart } from 'echarts/charts'
import type { LineSeriesOption } from 'echarts/charts'
import { GridComponent, LegendComponent, TitleComponent } from 'echarts/components'
import type { GridComponentOption, LegendComponentOption, TitleComponentOption } from 'echarts/components'
import { init, use } from 'echarts/core'
import type { ComposeOption } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'
import type { SimulationReport } from './report.ts'
import { figures, headline } from './summary.ts'

type Options = ComposeOption<LineSeriesOption | GridComponentOption | LegendComponentOption | TitleComponentOption>
type Points = readonly (readonly number[])[]

interface Line {
  name: string
  points: Points
  colour: string
  /** Values hold until the next point. */
  steps?: boolean
}

interface Panel {
  title: string
  x: string
  y: string
  lines: Line[]
  xMax?: number
  yMin?: number
  yMax?: number
  /** Ratios: twice as much is as far everywhere. */
  yLog?: boolean
}

/** Pixels. */
const WIDTH = 1_240
const HEAD = 74
const PANEL_HEIGHT = 330
const PLOT = { left: 76, top: 66, width: 500, height: 190 } as const
const COLUMN = 620
/** Wide, since the reader's font may be wider than the one that echarts reckons with. */
const LEGEND_GAP = 30
const FIGURES_LINE = 18

const FONT = 'Helvetica, Arial, sans-serif'
const INK = '#222831'
const FAINT = '#5b6573'
const GRID_LINES = '#e4e7eb'
/** Okabe and Ito's colours, told apart by most who see colours otherwise. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00'] as const

export function plot(report: SimulationReport): string {
  const panels = panelsOf(report)
  const rows = Math.ceil((panels.length + 1) / 2)
  use([LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer])
  const height = HEAD + rows * PANEL_HEIGHT
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height })
  try {
    chart.setOption(optionsOf(report, panels))
    return `${chart.renderToSVGString()}\n`
  } finally {
    // Else the instance keeps the process alive.
    chart.dispose()
  }
}

function panelsOf(report: SimulationReport): Panel[] {
  const seconds = report.spec.durationMs / 1_000
  const { detection, reportAge, traffic, policies } = report
  const panels: Panel[] = []
  const kinds = [
    { name: 'daemon killed', kind: detection.daemons, colour: COLOURS[0] },
    { name: 'host without power', kind: detection.hosts, colour: COLOURS[1] },
  ]
  if (detection.deaths.length > 0) {
    panels.push({
      title: 'How fast a death is noticed',
      x: 'time since the death, s',
      y: 'share of members, %',
      yMax: 100,
      lines: kinds.flatMap(({ name, kind, colour }) =>
        kind === null ? [] : [{ name, colour, points: cumulative(kind.distribution), steps: true }],
      ),
    })
  }
  if (policies.length > 0) {
    panels.push(
      {
        title: 'Balance: the most loaded host ÷ the mean',
        x: 'time, s',
        y: 'ratio of active flows',
        xMax: seconds,
        yMin: 1,
        yLog: true,
        lines: policies.map(({ policy, series }, i) => ({
          name: policy,
          points: inSeconds(series),
          colour: COLOURS[i % COLOURS.length]!,
        })),
      },
      {
        title: 'Flows redirected',
        x: 'time, s',
        y: 'share of new flows, %',
        xMax: seconds,
        yMax: 100,
        lines: policies.map(({ policy, redirectedSeries }, i) => ({
          name: policy,
          points: redirectedSeries.map(([ms, share]) => [ms / 1_000, share * 100]),
          colour: COLOURS[i % COLOURS.length]!,
        })),
      },
    )
  }
  panels.push(
    {
      title: "Age of load reports in the others' views",
      x: 'age, s',
      y: 'share of reports, %',
      yMax: 100,
      lines: [{ name: 'reports', points: cumulative(reportAge.distribution), colour: COLOURS[0] }],
    },
    {
      title: 'What a member sends for gossip',
      x: 'time, s',
      y: 'KB/s',
      xMax: seconds,
      lines: [
        {
          name: 'on the wire (estimate)',
          points: traffic.series.map(([ms, , wire]) => [ms / 1_000, wire / 1_000]),
          colour: COLOURS[1],
        },
        {
          name: 'messages',
          points: traffic.series.map(([ms, payload]) => [ms / 1_000, payload / 1_000]),
          colour: COLOURS[0],
        },
      ],
    },
  )
  return panels
}

function optionsOf(report: SimulationReport, panels: readonly Panel[]): Options {
  const { title, detail } = headline(report.spec)
  const places = Array.from({ length: panels.length + 1 }, (_, place) => ({
    left: (place % 2) * COLUMN,
    top: HEAD + Math.floor(place / 2) * PANEL_HEIGHT,
  }))
  const last = places[panels.length]!
  return {
    animation: false,
    backgroundColor: '#ffffff',
    textStyle: { fontFamily: FONT, color: INK },
    title: [
      {
        text: title,
        subtext: detail,
        left: 24,
        top: 16,
        textStyle: { fontSize: 20, color: INK, fontFamily: FONT },
        subtextStyle: { fontSize: 13, color: FAINT, fontFamily: FONT },
      },
      ...panels.map((panel, i) => panelTitle(panel.title, places[i]!)),
      panelTitle('In figures', last),
      {
        text: figures(report)
          .map(([name, value]) => `{name|${name}}{value|${value}}`)
          .join('\n'),
        left: last.left + 24,
        top: last.top + 40,
        textStyle: {
          fontFamily: FONT,
          fontSize: 13,
          fontWeight: 'normal' as const,
          rich: {
            name: { color: FAINT, fontSize: 13, lineHeight: FIGURES_LINE, width: 190 },
            value: { color: INK, fontSize: 13, lineHeight: FIGURES_LINE },
          },
        },
      },
    ],
    legend: panels.map((panel, i) => ({
      data: panel.lines.map(({ name }) => name),
      show: panel.lines.length > 1,
      left: places[i]!.left + PLOT.left - 4,
      top: places[i]!.top + 34,
      itemWidth: 18,
      itemHeight: 8,
      itemGap: LEGEND_GAP,
      icon: 'roundRect',
      selectedMode: false as const,
      textStyle: { fontSize: 12, color: INK, fontFamily: FONT },
    })),
    grid: panels.map((_, i) => ({
      left: places[i]!.left + PLOT.left,
      top: places[i]!.top + PLOT.top,
      width: PLOT.width,
      height: PLOT.height,
    })),
    xAxis: panels.map((panel, gridIndex) => axis(gridIndex, panel.x, 28, { min: 0, max: panel.xMax ?? xMaxOf(panel) })),
    yAxis: panels.map((panel, gridIndex) =>
      axis(gridIndex, panel.y, 48, {
        min: panel.yMin ?? 0,
        ...(panel.yMax === undefined ? {} : { max: panel.yMax }),
        ...(panel.yLog === true ? { log: true } : {}),
      }),
    ),
    series: panels.flatMap((panel, index) =>
      panel.lines.map((line) => ({
        type: 'line' as const,
        name: line.name,
        xAxisIndex: index,
        yAxisIndex: index,
        data: line.points.map((point) => [...point]),
        showSymbol: false,
        ...(line.steps === true ? { step: 'end' as const } : {}),
        lineStyle: { width: 1.8, color: line.colour },
        itemStyle: { color: line.colour },
      })),
    ),
  }
}

function panelTitle(text: string, { left, top }: { left: number; top: number }): TitleComponentOption {
  return { text, left: left + 24, top: top + 8, textStyle: { fontSize: 15, color: INK, fontFamily: FONT } }
}

function axis(
  gridIndex: number,
  name: string,
  nameGap: number,
  { log = false, ...range }: { min: number; max?: number; log?: boolean },
) {
  return {
    ...(log ? { type: 'log' as const, logBase: 2 } : { type: 'value' as const }),
    gridIndex,
    name,
    nameGap,
    nameLocation: 'middle' as const,
    nameTextStyle: { fontSize: 12, color: FAINT, fontFamily: FONT },
    ...range,
    axisLine: { show: true, lineStyle: { color: FAINT } },
    axisTick: { show: true },
    axisLabel: { fontSize: 11, color: FAINT, fontFamily: FONT, hideOverlap: true },
    splitLine: { lineStyle: { color: GRID_LINES } },
  }
}

/** A little more than the largest value, in a round number. */
function xMaxOf({ lines }: Panel): number {
  const largest = Math.max(0.001, ...lines.flatMap(({ points }) => points.map((point) => point[0]!)))
  const step = 10 ** Math.floor(Math.log10(largest)) / 2
  return Math.ceil((largest * 1.02) / step) * step
}

function inSeconds(points: Points): Points {
  return points.map(([ms, value]) => [ms! / 1_000, value!])
}

/** From nothing up to the whole, in percent. */
function cumulative(distribution: Points): Points {
  const first = distribution[0]
  if (first === undefined) return []
  return [[first[0]! / 1_000, 0], ...distribution.map(([ms, share]) => [ms! / 1_000, share! * 100])]
}
