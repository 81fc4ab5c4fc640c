import { describe, expect, it } from 'vitest'
import { uploadProblems } from './bulk.ts'
import type { Upload } from './bulk.ts'
import { seenByAllMs } from './detect.ts'
import { BENCHES, parseOptions, UsageError } from './options.ts'
import { ratioCells, refusals, renderSection } from './report.ts'
import type { Section } from './report.ts'

describe('command line', () => {
  const defaults = {
    benches: BENCHES,
    pairs: 3,
    rounds: 10,
    seconds: 5,
    minutes: 2,
    seeds: 10,
    members: 1_000,
    out: undefined,
    plots: undefined,
  }
  it.each([
    { argv: [], options: defaults },
    { argv: ['all'], options: defaults },
    { argv: ['detect', 'get', '--pairs', '10'], options: { ...defaults, benches: ['get', 'detect'], pairs: 10 } },
    {
      argv: ['calm', 'simulation', '--minutes', '10', '--seeds', '100', '--plots', 'd'],
      options: { ...defaults, benches: ['calm', 'simulation'], minutes: 10, seeds: 100, plots: 'd' },
    },
    { argv: ['core', '--out=x.json'], options: { ...defaults, benches: ['core'], out: 'x.json' } },
    { argv: ['--help'], options: undefined },
  ])('$argv', ({ argv, options }) => expect(parseOptions(argv)).toEqual(options))

  it.each([
    { argv: ['gte'], says: /gte is none of get/ },
    { argv: ['--pairs', '0'], says: /--pairs is 0/ },
    { argv: ['--pairs', '1.5'], says: /--pairs is 1.5/ },
    { argv: ['--seconds', '3600'], says: /--seconds is 3600/ },
    { argv: ['--minutes', '121'], says: /--minutes is 121/ },
    { argv: ['--seeds', '0'], says: /--seeds is 0/ },
    { argv: ['--rounds'], says: /rounds/ },
    { argv: ['--fast'], says: /--fast/ },
  ])('refuses $argv', ({ argv, says }) => {
    expect(() => parseOptions(argv)).toThrow(UsageError)
    expect(() => parseOptions(argv)).toThrow(says)
  })
})

describe('tables', () => {
  const section: Section = {
    title: 'T',
    how: 'H',
    columns: ['a', 'b'],
    rows: [
      { name: 'fine', cells: ['1', '2'] },
      { name: 'broken', refused: ['first reason', 'second reason'] },
    ],
    remarks: ['mind this'],
  }

  it('say why there is no figure, and count it', () => {
    const text = renderSection(section)
    expect(text).toMatch(/broken\s+│ no figure │ no figure/)
    expect(text).toContain('no figure for broken: first reason; second reason')
    expect(text).toContain('note: mind this')
    expect(refusals([section, section])).toBe(2)
  })

  it.each([
    { ratios: [0.8, 0.7, 0.9], interval: 'n too small', verdict: 'open' },
    { ratios: [0.8, 0.7, 0.71, 0.72, 0.73, 0.6], interval: '0.600 to 0.800', verdict: 'met' },
    { ratios: [0.7, 0.7, 0.71, 0.72, 0.73, 0.6], interval: '0.600 to 0.730', verdict: 'missed' },
  ])('of ratios $ratios: $verdict', ({ ratios, interval, verdict }) => {
    const cells = ratioCells(ratios, { atLeast: 0.75 }, 'ours', 'reference')
    expect([cells[0], cells[2], cells[3]]).toEqual(['≥ 0.750', interval, verdict])
    expect(cells[4]!.split(' ')).toHaveLength(ratios.length)
  })
})

describe('a failure is noticed by all', () => {
  const seen = (...times: (number | undefined)[]): number | undefined =>
    seenByAllMs({
      fault: 'f',
      lossy: false,
      victim: 'h1',
      actMs: 1,
      seen: times.map((afterMs) => ({ observer: 'h', afterMs, reason: undefined, wrong: [] })),
    })
  it('when the last has', () => expect(seen(10, 30, 20)).toBe(30))
  it('never, if one never does', () => expect(seen(10, undefined, 20)).toBeUndefined())
})

describe('an upload', () => {
  const none = {
    flowsLocal: 0,
    flowsRedirected: 0,
    flowsReceived: 0,
    packetsLocal: 0,
    packetsMac: 0,
    packetsIpip: 0,
    dropped: 0,
  }
  const bytes = 2 ** 30
  const whole = { bytesPerSecond: 1e9, status: 200, uploadedBytes: bytes, h2RxBytes: bytes + 5e6 }
  const through: Upload = {
    ...whole,
    h1RxBytes: bytes + 5e6,
    h1: { ...none, flowsRedirected: 1, packetsMac: 20_000 },
    h2: { ...none, flowsReceived: 1, packetsLocal: 20_000 },
  }
  const direct: Upload = { ...whole, h1RxBytes: 2_000, h1: none, h2: none }

  it('counts if all of it went the way claimed', () => {
    expect([...uploadProblems('mac', through), ...uploadProblems('direct', direct)]).toEqual([])
  })

  it.each<[string, 'mac' | 'direct', Upload, RegExp]>([
    ['answered otherwise', 'mac', { ...through, status: 405 }, /answered 405/],
    ['cut short', 'mac', { ...through, uploadedBytes: 5 }, /sent 5 bytes/],
    ['not arrived', 'direct', { ...direct, h2RxBytes: 5 }, /5 bytes arrived at h2/],
    ['past h1', 'mac', { ...through, h1RxBytes: 5 }, /5 bytes passed h1/],
    ['served by h1', 'mac', { ...through, h1: { ...none, flowsLocal: 1 } }, /0 flows were redirected/],
    ['direct, but through h1', 'direct', { ...direct, h1RxBytes: bytes }, /reached h1/],
    ['direct, but through an engine', 'direct', { ...direct, h2: { ...none, packetsLocal: 9 } }, /9 packets/],
  ])('%s is refused', (_name, way, run, says) => expect(uploadProblems(way, run).join('; ')).toMatch(says))
})
