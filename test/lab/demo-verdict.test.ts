/** The demo's verdict: what counts as held, for runs that went well and runs that did not. */
import { describe, expect, test } from 'vitest'
import { classifyFailures, demoClaims, detectedByAll } from '../../lab/demo-verdict.ts'
import type { DemoFacts } from '../../lab/demo-verdict.ts'
import { diagram, frameBlock, frameLine, summary } from '../../lab/demo-view.ts'
import type { LoadFailure } from '../../lab/load-report.ts'
import { labHosts, labSpec } from '../../lab/spec.ts'

const CUT = 100_000
const DETECTED = CUT + 1_800

const flows: DemoFacts['flows'] = {
  type: 'flows-summary',
  second: 30,
  opened: 20,
  open: 15,
  byHost: { h1: 6, h2: 5, h3: 5, h4: 4 },
  broken: 4,
  brokenByHost: { h2: 4 },
  stalledByHost: { h2: 1 },
  corrupted: 0,
  verifiedBytes: 100_000,
  stallMsMax: 30,
}

/** A run as it should be. */
const good: DemoFacts = {
  entrance: 'h1',
  victim: 'h2',
  hosts: ['h1', 'h2', 'h3', 'h4'],
  rate: 100,
  before: { h1: 600, h2: 450, h3: 450, h4: 450 },
  after: { h1: 500, h3: 400, h4: 400 },
  total: { h1: 1_200, h2: 460, h3: 900, h4: 910 },
  afterSeconds: 13,
  modes: { h1: 'self', h2: 'mac', h3: 'ipip', h4: 'ipip' },
  redirected: 2_200,
  cutMs: CUT,
  detectedMs: { h1: DETECTED - 100, h3: DETECTED, h4: DETECTED - 50 },
  failures: [failure(-200, 5_000, 'h2'), failure(500, 6_000, null)],
  flows,
  takeoverMs: CUT + 2_000,
}

function failure(startedMs: number, failedMs: number, host: string | null): LoadFailure {
  return { type: 'failure', startedMs: CUT + startedMs, failedMs: CUT + failedMs, kind: 'timeout', host }
}

describe('claims', () => {
  test('all hold for a run as it should be', () => {
    expect(demoClaims(good).filter(({ held }) => !held)).toEqual([])
    expect(detectedByAll(good)).toBe(DETECTED)
  })

  const rows: [string, Partial<DemoFacts>, RegExp][] = [
    ['a host that served nothing', { before: { h1: 1_000, h2: 450, h3: 450 } }, /every host served.*not: h4/],
    ['a home that redirected nothing', { redirected: 0 }, /every host served/],
    ['no tunnel was used', { modes: { h1: 'self', h2: 'mac', h3: 'mac', h4: 'mac' } }, /by mac .* by ipip/],
    ['a failure in good times', { failures: [failure(-900, -100, 'h3')] }, /failed before h2 died \(1\)/],
    ['one host that never noticed', { detectedMs: { h1: DETECTED, h3: DETECTED } }, /noticed/],
    ['a living host lost a request', { failures: [failure(-100, 300, 'h4')] }, /living host was serving failed \(1\)/],
    ['a new request failed later', { failures: [failure(1_801, 7_000, null)] }, /began after the detection \(1\)/],
    ['half of the load went unanswered', { after: { h1: 300, h3: 350 } }, /site went on: 50 answers/],
    ['nothing was answered at all', { after: {}, afterSeconds: 0 }, /site went on: 0/],
    ['a connection on h3 broke', { flows: { ...flows, broken: 5, brokenByHost: { h2: 4, h3: 1 } } }, /broke.*\(1\)/],
    ['a connection on h4 stands still', { flows: { ...flows, stalledByHost: { h4: 1 } } }, /broke.*\(1\)/],
    ['a wrong byte', { flows: { ...flows, corrupted: 1 } }, /no byte was wrong/],
    ['no connection was ever open', { flows: { ...flows, opened: 0 } }, /long-lived/],
  ]
  test.each(rows)('fail for %s', (_, change, claim) => {
    const failed = demoClaims({ ...good, ...change }).filter(({ held }) => !held)
    expect(failed.map((it) => it.claim).join('\n')).toMatch(claim)
  })

  test('every failure is in exactly one class', () => {
    const failures = [-900, -100, 0, 900, 1_799, 1_800, 5_000].flatMap((started) =>
      ['h2', 'h3', null].map((host) => failure(started, started + 700, host)),
    )
    const classes = Object.values(classifyFailures({ ...good, failures })).flat()
    expect(new Set(classes).size).toBe(failures.length)
    expect(classes).toHaveLength(failures.length)
  })
})

describe('what is printed', () => {
  const hosts = labHosts(labSpec())

  test('the diagram shows each host once and marks the entrance', () => {
    const text = diagram(hosts, 'h1')
    for (const host of hosts) expect(text.filter((line) => line.includes(host.address + ' '))).toHaveLength(1)
    expect(text.filter((line) => line.includes('◀──'))).toEqual([expect.stringContaining('h1')])
  })

  test('a frame has the same height whatever is known, so that it can be redrawn in place', () => {
    const frame = { second: 3, caption: 'c', hosts, peers: [], load: undefined, flows: undefined }
    expect(frameBlock(frame)).toHaveLength(frameBlock({ ...frame, flows }).length)
    expect(frameLine(frame)).not.toContain('\n')
    expect(frameBlock({ ...frame, flows }).join('\n')).toContain('15 exchanging bytes, 5 lost')
  })

  test('the summary names counts, detection and what failed', () => {
    const text = summary(good, demoClaims({ ...good, redirected: 0 })).join('\n')
    expect(text).toMatch(/h2 +460 +redirected by mac/)
    expect(text).toContain('through mac: 460, through ipip: 1810')
    expect(text).toContain('all others knew after 1.8 s')
    expect(text).toContain('requests lost with it: 2')
    expect(text).toMatch(/FAILED +every host served/)
  })
})
