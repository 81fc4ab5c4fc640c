/** The benchmarks of membership, without a lab: what is read from logs, nft and the kernel, and what follows from it. */
import { describe, expect, it } from 'vitest'
import { calmSection, parseChanges } from './calm.ts'
import type { Calm } from './calm.ts'
import { sectionOf } from './detect.ts'
import type { Round } from './detect.ts'
import { idleSection, parseGossipBytes } from './idle.ts'
import { lossProblems, lossRules, parseLoss } from './loss.ts'
import type { Row } from './report.ts'

function cellsOf(row: Row | undefined): readonly string[] {
  return row === undefined ? [] : 'cells' in row ? row.cells : row.refused
}

describe('packet loss', () => {
  const listing = (...packets: number[]): string =>
    JSON.stringify({
      nftables: [
        { metainfo: { version: '1.0.6' } },
        { chain: { name: 'ingress' } },
        ...packets.map((count) => ({ rule: { expr: [{ match: {} }, { counter: { packets: count, bytes: 1 } }] } })),
      ],
    })

  it('is a share of a thousand, at the interface, and counted', () => {
    expect(lossRules('eth0', 0.15)).toContain('hook ingress device "eth0"')
    expect(lossRules('eth0', 0.15)).toMatch(/counter\n\s+numgen random mod 1000 < 150 counter drop/)
  })

  it('is read back from nft', () => expect(parseLoss(listing(1_000, 149))).toEqual({ arrived: 1_000, dropped: 149 }))

  it('without its counters is an error', () => expect(() => parseLoss(listing(5))).toThrow(/no counters/))

  it.each([
    { name: 'as intended', arrived: 10_000, dropped: 1_512, problems: 0 },
    { name: 'too little', arrived: 10_000, dropped: 900, problems: 1 },
    { name: 'nothing arrived at all', arrived: 0, dropped: 0, problems: 1 },
  ])('$name', ({ arrived, dropped, problems }) => {
    expect(lossProblems([{ host: 'h1', arrived, dropped }])).toHaveLength(problems)
  })
})

describe('calm', () => {
  const line = (fields: Record<string, unknown>): string =>
    JSON.stringify({ level: 'info', time: '2026-11-22T18:00:00.000Z', event: 'member-status', ...fields })
  const log = [
    line({ member: 'h2', from: 'alive', status: 'suspect' }),
    line({ event: 'member-joined', member: 'h9' }),
    'not JSON "member-status"',
    line({ member: 'h2', from: 'suspect', status: 'dead', deadReason: 'silent' }),
    line({ member: 'h3', from: 'suspect', status: 'alive' }).slice(0, 40),
  ].join('\n')
  const changes = parseChanges('h1', log)

  it('reads all changes of status from a log, and nothing else', () => {
    expect(changes.map(({ member, status }) => `${member} ${status}`)).toEqual(['h2 suspect', 'h2 dead'])
    expect(changes[0]!.atMs).toBe(Date.UTC(2026, 10, 22, 18))
  })

  const loss = [{ host: 'h1', arrived: 1_000, dropped: 150 }]
  it.each<[string, Partial<Calm>, string]>([
    ['ten minutes without a death', { minutes: 10 }, 'met'],
    ['less is no verdict', { minutes: 2 }, 'open'],
    ['a death is one at any time', { minutes: 2, changes }, 'missed'],
  ])('%s', (_name, calm, verdict) => {
    const section = calmSection({ minutes: 10, changes: [], loss, incomplete: [], ...calm })
    expect(cellsOf(section.rows[0])[2]).toBe(verdict)
    expect(section.remarks).toEqual(verdict === 'missed' ? ['h1 took h2 for dead'] : [])
  })

  it.each<[string, Partial<Calm>]>([
    ['the loss was not what it should be', { loss: [{ host: 'h1', arrived: 1_000, dropped: 0 }] }],
    ['a log has holes', { incomplete: ['h4'] }],
  ])('is refused when %s', (_name, calm) => {
    const section = calmSection({ minutes: 10, changes: [], loss, incomplete: [], ...calm })
    expect(section.rows[0]).toHaveProperty('refused')
  })
})

describe('detection', () => {
  const round = (fault: string, lossy: boolean, afterMs: number | undefined, wrong: string[] = []): Round => ({
    fault,
    lossy,
    victim: 'h1',
    actMs: 1,
    seen: [{ observer: 'h2', afterMs, reason: 'silent', wrong }],
  })
  const rounds = [
    ...Array.from({ length: 6 }, () => round('daemon killed', false, 100)),
    ...[1_500, 1_600, 1_700, 1_700, 1_800, 2_700].map((ms) => round('host silently cut', false, ms)),
    ...Array.from({ length: 6 }, () => round('daemon killed', true, 3_500)),
    ...Array.from({ length: 5 }, () => round('host silently cut', true, 2_000)),
    round('host silently cut', true, undefined, ['h3']),
  ]
  const section = sectionOf(rounds, [{ host: 'h1', arrived: 1_000, dropped: 150 }])
  const row = (name: string): Row | undefined => section.rows.find((one) => one.name === name)

  it.each([
    { name: 'daemon killed', verdict: 'met', max: '0.10 s' },
    { name: 'host silently cut', verdict: 'met', max: '2.70 s (≤ 2.60 s: missed)' },
    { name: 'daemon killed, 15 % loss', verdict: 'missed', max: '3.50 s' },
  ])('$name', ({ name, verdict, max }) => {
    expect(cellsOf(row(name))[3]).toBe(verdict)
    expect(cellsOf(row(name))[4]).toBe(max)
  })

  it('is refused when one never saw it, and the living taken for dead are named', () => {
    expect(row('host silently cut, 15 % loss')).toHaveProperty('refused')
    expect(section.remarks).toEqual(['host silently cut, 15 % loss, h1: the living h3 were taken for dead'])
  })

  it('under loss is refused when there was none', () => {
    const { rows } = sectionOf(rounds, [{ host: 'h1', arrived: 1_000, dropped: 0 }])
    expect(rows.map((one) => 'refused' in one)).toEqual([false, false, true, true])
  })
})

it('an idle daemon is judged by the median of five', () => {
  const cost = (host: string, cpuSeconds: number, rxBytes: number) => ({
    host,
    cpuSeconds,
    rxBytes,
    txBytes: 1_000,
    gossipSentBytes: 500,
    gossipReceivedBytes: 600,
    rssMiB: 150,
    seconds: 10,
  })
  const { rows } = idleSection([cost('h1', 0.1, 40_000), cost('h2', 0.12, 20_000), cost('h3', 2, 50_000)])
  expect(cellsOf(rows[0])).toEqual(['≤ 1.50 %', '1.20 %', 'met', '20.00 %', '0.3 %'])
  expect(cellsOf(rows[1]).slice(0, 3)).toEqual(['≤ 3,000 B/s', '4,000 B/s', 'missed'])
})

it('what gossip alone sends is read from the metrics', () => {
  const metrics = '# TYPE dpr_gossip_bytes_total counter\ndpr_gossip_bytes_total{direction="out"} 12345\n'
  expect(parseGossipBytes(metrics, 'out')).toBe(12_345)
  expect(() => parseGossipBytes(metrics, 'in')).toThrow(/dpr_gossip_bytes_total/)
})
