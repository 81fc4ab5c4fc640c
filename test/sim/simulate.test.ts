/** `simulate(spec)` and its command: what is reported, that it is the same each time, and what wrong options get. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { milliseconds, namesOf, share, wholeNumber } from '../../cli/quantities.ts'
import { simulate } from '../../lab/simulate/simulate.ts'

const DPR = join(import.meta.dirname, '../../cli/dpr')

describe('a report', () => {
  test('tells deaths apart, finds nobody wrongly dead, and shows what balancing does', async () => {
    const report = await simulate({
      members: 10,
      durationMs: 20_000,
      arrivals: 'one',
      policies: ['above-average', 'local'],
      kill: 1,
      crash: 1,
      loss: 0.01,
    })
    expect(report.formedAfterMs).toBeLessThan(5_000)
    expect(report.detection.deaths.map(({ kind, unaware }) => [kind, unaware])).toEqual([
      ['daemon', 0],
      ['host', 0],
    ])
    expect(report.detection.daemons!.noticed.count).toBe(8)
    expect(report.detection.daemons!.allMs).toBeLessThan(report.detection.hosts!.allMs!)
    expect(report.falseAlarms).toMatchObject({ deaths: { stalled: 0, awake: 0 }, membersDeclaredDead: 0 })
    expect(report.reportAge.median).toBeGreaterThan(0)
    const [balanced, local] = report.policies
    expect(balanced!.redirected).toBeGreaterThan(0.5)
    expect(balanced!.imbalance).toBeLessThan(1.6)
    expect(local).toMatchObject({ policy: 'local', redirected: 0 })
    expect(local!.imbalance).toBeGreaterThan(5)
    expect(local!.arrived, 'the same arrivals').toBe(balanced!.arrived)
  }, 60_000)

  test('counts stalls, and lists a member that stood still for long as wrongly dead, stalled', async () => {
    const report = await simulate({
      members: 6,
      durationMs: 30_000,
      arrivals: 'none',
      stallMs: 9_000,
      stallEveryMs: 14_000,
    })
    expect(report.falseAlarms).toMatchObject({ stalls: 2, deaths: { awake: 0 } })
    expect(report.falseAlarms.deaths.stalled).toBeGreaterThan(0)
    expect(report.policies).toEqual([])
  }, 60_000)
})

describe('dpr simulate', () => {
  const args = 'simulate --members 6 --duration 5s --kill 1 --loss 2% --network datagrams --policy above-average,ring'

  test('prints the same bytes for the same seed, and others for another', () => {
    const run = (seed: string): string =>
      execFileSync(DPR, [...args.split(' '), '--seed', seed, '--json'], { encoding: 'utf8', stdio: 'pipe' })
    const first = run('3')
    expect(run('3')).toBe(first)
    expect(run('4')).not.toBe(first)
    expect(JSON.parse(first)).toMatchObject({ spec: { members: 6, loss: 0.02, network: 'datagrams' } })
  }, 120_000)

  test('draws a picture that is XML, the same each time', () => {
    const dir = mkdtempSync(join(tmpdir(), 'dpr-simulate-'))
    try {
      const draw = (name: string): string => {
        const file = join(dir, name)
        execFileSync(DPR, [...args.split(' '), '--plot', file], { stdio: 'pipe' })
        return readFileSync(file, 'utf8')
      }
      const svg = draw('a.svg')
      expect(draw('b.svg')).toBe(svg)
      expect(svg).toMatch(/^<svg /u)
      for (const word of ['How fast a death is noticed', 'above-average', 'ring', 'KB/s']) expect(svg).toContain(word)
      expect(unbalanced(svg)).toEqual([])
    } finally {
      rmSync(dir, { recursive: true })
    }
  }, 120_000)

  test.each([
    ['--loss', 'lots', '--loss is "lots"; give it a share'],
    ['--loss', '100%', '--loss is 1; it must be a share'],
    ['--members', '1', '--members is 1; it must be a whole number from 2 to 5000'],
    ['--members', '1e3', '--members is "1e3"; give it a whole number'],
    ['--duration', '60', '--duration is "60"; give it a time with its unit'],
    ['--policy', 'best', '--policy is "best"; give it one or more of above-average, ring'],
    ['--kill', '100', '--kill is 100; it must be'],
    ['--network', 'pigeons', '--network'],
  ])(
    '%s %s is refused',
    (flag, value, message) => {
      const { status, stderr, stdout } = spawnSync(DPR, ['simulate', flag, value], { encoding: 'utf8' })
      expect(stderr).toContain(message)
      expect(stderr).toMatch(/^dpr: E_USAGE: /u)
      expect([status, stdout]).toEqual([2, ''])
    },
    30_000,
  )

  test('a plot that cannot be written is refused before anything is simulated', () => {
    const args = ['simulate', '--members', '5000', '--duration', '1h', '--plot', '/nowhere/picture.svg']
    const { status, stderr, stdout } = spawnSync(DPR, args, { encoding: 'utf8', timeout: 20_000 })
    expect(stderr).toMatch(/^dpr: E_FILE_UNWRITABLE: cannot write the plot \/nowhere\/picture\.svg/u)
    expect([status, stdout]).toEqual([24, ''])
  }, 30_000)
})

test.each([
  [() => milliseconds('x', '500ms'), 500],
  [() => milliseconds('x', '0.2ms'), 0.2],
  [() => milliseconds('x', '1.5s'), 1_500],
  [() => milliseconds('x', '2min'), 120_000],
  [() => share('x', '2%'), 0.02],
  [() => share('x', '0.5'), 0.5],
  [() => wholeNumber('x', '1_000'), 1_000],
  [() => namesOf('x', 'a,b', ['a', 'b', 'c']).join(), 'a,b'],
  [() => namesOf('x', 'all', ['a', 'b', 'c']).join(), 'a,b,c'],
])('quantities: %s', (read, value) => expect(read()).toBe(value))

/** Tags that are opened and not closed, or the other way round. */
function unbalanced(xml: string): string[] {
  const open: string[] = []
  const wrong: string[] = []
  for (const [, close, name, selfClosing] of xml.matchAll(/<(\/?)([a-zA-Z]+)(?:"[^"]*"|'[^']*'|[^>"'])*?(\/?)>/gu)) {
    if (selfClosing === '/') continue
    if (close !== '/') open.push(name!)
    else if (open.pop() !== name) wrong.push(name!)
  }
  return [...wrong, ...open]
}
