/**
 * Nodes that nobody told about each other: five daemons on one segment, of two clusters with different keys, without a
 * seed. They find their own by multicast DNS, and find them again from memory alone.
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newClusterKey } from '../../lab/host-config.ts'
import type { Lab } from '../../lab/lab.ts'
import { labDown, labUp } from '../../lab/up.ts'
import { agreed, eventually, logLines, startedNode, stopNode, writeConfig } from './hosts.ts'
import type { TestDaemon } from './hosts.ts'

const NAME = `find${process.pid}`
const ONE = ['h1', 'h2', 'h3'] as const
const TWO = ['h4', 'h5'] as const
const GOSSIP_PORT = 7_600
/** Several questions and answers of everybody. */
const WATCH_MS = 5_000

const directory = mkdtempSync(join(tmpdir(), 'dpr-find-'))
let lab: Lab
const daemons = new Map<string, TestDaemon>()

beforeAll(async () => {
  const key = join(directory, 'two.key')
  writeFileSync(key, newClusterKey(), { mode: 0o600 })
  chmodSync(key, 0o600)
  const alone = { gossip: { port: GOSSIP_PORT, seeds: [] } }
  const overrides = Object.fromEntries([
    ...ONE.map((host) => [host, alone] as const),
    ...TWO.map((host) => [host, { ...alone, clusterKeyFile: key }] as const),
  ])
  lab = await labUp({ name: NAME, segments: 1, hostsPerSegment: 5, daemons: false, servers: false, overrides })
  for (const host of [...ONE, ...TWO]) daemons.set(host, await startedNode(lab, host))
})
afterAll(async () => {
  await labDown(NAME)
  rmSync(directory, { recursive: true, force: true })
})

async function names(host: string): Promise<string[]> {
  return (await lab.peers(host)).map(({ name }) => name).toSorted()
}

async function metric(host: string, name: string): Promise<number> {
  const socket = lab.paths(host).socket
  const { stdout } = await lab.exec(host, ['curl', '-s', '--unix-socket', socket, 'http://dpr/metrics'])
  const line = stdout.split('\n').find((text) => text.startsWith(`${name} `))
  return Number(line?.slice(name.length + 1))
}

async function restarted(host: string, changes: Readonly<Record<string, unknown>>): Promise<TestDaemon> {
  expect(await stopNode(daemons.get(host)!)).toEqual({ code: 0, signal: null })
  const config = writeConfig(lab, host, join(lab.paths(host).directory, 'changed.yaml'), changes)
  const daemon = await startedNode(lab, host, { config })
  daemons.set(host, daemon)
  return daemon
}

describe('without a seed', () => {
  it('the nodes of one key find each other, and two clusters on one segment never mix', async () => {
    await agreed(lab, ONE)
    await agreed(lab, TWO)
    await sleep(WATCH_MS)
    for (const host of ONE) expect(await names(host)).toEqual([...ONE])
    for (const host of TWO) expect(await names(host)).toEqual([...TWO])
    for (const host of [...ONE, ...TWO]) {
      expect(
        logLines(lab, host).filter(({ event }) => event === 'stranger' || event === 'mdns'),
        host,
      ).toEqual([])
      expect(await metric(host, 'dpr_mdns_events_total{event="hints"}'), host).toBeGreaterThan(0)
      expect(await metric(host, 'dpr_mdns_events_total{event="errors"}'), host).toBe(0)
    }
  })

  it('every event that gossip counts is in the reference', async () => {
    const reference = readFileSync(join(import.meta.dirname, '../../docs/reference/metrics.md'), 'utf8')
    const socket = lab.paths('h1').socket
    const { stdout } = await lab.exec('h1', ['curl', '-s', '--unix-socket', socket, 'http://dpr/metrics'])
    const events = [...stdout.matchAll(/^dpr_gossip_events_total\{event="([^"]+)"\}/gmu)].map((match) => match[1]!)
    expect(events.length).toBeGreaterThan(10)
    expect(events.filter((event) => !reference.includes(`\n| \`${event}\` |`))).toEqual([])
  })

  it('a node that left and asks nobody finds its cluster again from memory', async () => {
    const kept = () => readFileSync(join(lab.paths('h1').state, 'members.json'), 'utf8')
    await eventually('members.json', kept, (text) => ['10.1.0.2:7600', '10.1.0.3:7600'].every((a) => text.includes(a)))
    await restarted('h1', { gossip: { port: GOSSIP_PORT, seeds: [], mdns: false } })
    await agreed(lab, ONE)
    expect(await metric('h1', 'dpr_mdns_events_total{event="hints"}')).toBeNaN()
  })

  it('a memory that makes no sense is said, ignored and replaced', async () => {
    await stopNode(daemons.get('h1')!)
    const file = join(lab.paths('h1').state, 'members.json')
    writeFileSync(file, '{"version":1,"members":[{"id"')
    const since = logLines(lab, 'h1').length
    daemons.set('h1', await startedNode(lab, 'h1'))
    await agreed(lab, ONE)
    const told = logLines(lab, 'h1')
      .slice(since)
      .filter(({ event }) => event === 'members-file')
    expect(told).toMatchObject([{ level: 'warn', reason: `${file} is ignored: it is no JSON` }])
    await eventually(
      file,
      () => readFileSync(file, 'utf8'),
      (text) => text.includes('10.1.0.2:7600'),
    )
  })
})
