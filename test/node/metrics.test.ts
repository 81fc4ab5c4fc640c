/** Metrics: what is scraped, where, and that the reference describes all of it. */
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { readEngineState, sharedCounters, sharedCountersBuffer, COUNTER, DROP } from '../../datapath/counters.ts'
import { MemberCounts } from '../../node/member-counts.ts'
import { Metrics, processFigures } from '../../node/metrics.ts'
import { createMetricsServer } from '../../node/metrics-server.ts'
import { LOOP_LATE, METRICS, type MetricSource } from '../../node/metrics-table.ts'
import { freePort } from '../compliance/free-port.ts'
import { memberOf } from './members.ts'

const endings: (() => unknown)[] = []
afterEach(async () => {
  for (const end of endings.splice(0)) await end()
})

function source(changes: Partial<MetricSource> = {}): MetricSource {
  const shared = sharedCounters(sharedCountersBuffer())
  shared.values[COUNTER.flowsRedirected] = 7
  shared.values[DROP['ip-ttl']] = 3
  const counts = new MemberCounts()
  counts.note({ type: 'joined', member: memberOf('h2') })
  counts.note({ type: 'status', member: memberOf('h2', {}, { status: 'dead', deadReason: 'silent' }), from: 'suspect' })
  counts.note({ type: 'stranger', address: '10.9.0.9', reason: 'another key' })
  counts.note({ type: 'twin', address: '10.9.0.9' })
  return {
    version: '0.1.0',
    name: 'h1',
    id: 'id-h1',
    policy: 'above-average',
    control: {
      engine: readEngineState(shared),
      load: 0.25,
      localLimit: Infinity,
      unsure: false,
      announced: 1,
      published: 4,
      uptimeMs: 65_000,
    },
    members: [
      memberOf('h1', {}, { self: true }),
      memberOf('h2', {}, { report: { ageMs: 300 } }),
      memberOf('h3', {}, { report: { ageMs: 100 } }),
      memberOf('h4', {}, { status: 'dead', report: { ageMs: 9_999 } }),
    ],
    counts,
    gossip: { framesSent: 5, bytesReceived: 600, dials: 2, connections: 3, probesSent: 40 },
    lastExchangeAgeMs: 150,
    mdns: { questionsSent: 3, answersSent: 0, hints: 0, errors: 0 },
    process: processFigures(),
    ...changes,
  }
}

async function lines(changes: Partial<MetricSource> = {}): Promise<string[]> {
  return (await new Metrics(() => source(changes)).text()).split('\n')
}

describe('the text', () => {
  test('has a value for everything that is there, with its labels', async () => {
    const text = await lines()
    expect(text).toEqual(
      expect.arrayContaining([
        'dpr_build_info{version="0.1.0",name="h1",id="id-h1",policy="above-average"} 1',
        'dpr_uptime_seconds 65',
        'dpr_load_ratio 0.25',
        'dpr_local_limit_flows +Inf',
        'dpr_flows_total{placement="redirected"} 7',
        'dpr_packets_dropped_total{reason="ip-ttl"} 3',
        'dpr_published_addresses{role="announced"} 1',
        'dpr_members{status="alive"} 3',
        'dpr_members{status="dead"} 1',
        'dpr_report_age_seconds{of="oldest"} 0.3',
        'dpr_report_age_seconds{of="mean"} 0.2',
        'dpr_last_exchange_age_seconds 0.15',
        'dpr_member_changes_total{change="dead"} 1',
        'dpr_member_deaths_total{reason="silent"} 1',
        'dpr_strangers_total 1',
        'dpr_twins_total 1',
        'dpr_gossip_frames_total{direction="out"} 5',
        'dpr_gossip_bytes_total{direction="in"} 600',
        'dpr_gossip_dials_total 2',
        'dpr_gossip_connections{of="connections"} 3',
        'dpr_gossip_events_total{event="probesSent"} 40',
        'dpr_mdns_events_total{event="questionsSent"} 3',
      ]),
    )
  })

  test('is made anew at each scrape, and the late rounds add up', async () => {
    let scrapes = 0
    const metrics = new Metrics(() => source({ lastExchangeAgeMs: 1_000 * ++scrapes }))
    expect(await metrics.text()).toContain('dpr_last_exchange_age_seconds 1\n')
    metrics.observeLate(0.003)
    metrics.observeLate(-1)
    const text = await metrics.text()
    expect(text).toContain('dpr_last_exchange_age_seconds 2\n')
    expect(text).toContain(`${LOOP_LATE.name}_count 2\n`)
    expect(text).toContain(`${LOOP_LATE.name}_bucket{le="0.005"} 2\n`)
  })

  test('what is gone since the last scrape is gone', async () => {
    let members = source().members
    const metrics = new Metrics(() => source({ members }))
    expect(await metrics.text()).toContain('dpr_report_age_seconds{')
    members = members.filter(({ self }) => self)
    expect(await metrics.text()).not.toContain('dpr_report_age_seconds{')
  })

  test('two nodes in one process do not mix', async () => {
    const [one, two] = [new Metrics(() => source()), new Metrics(() => source({ name: 'h2' }))]
    expect(await two.text()).toContain('name="h2"')
    expect(await one.text()).not.toContain('name="h2"')
  })

  test('what is not there has no value: no report yet, no mDNS', async () => {
    const text = await lines({ members: [memberOf('h1', {}, { self: true })], mdns: undefined })
    expect(text.filter((line) => /^dpr_(report_age|mdns)/u.test(line))).toEqual([])
  })

  test('keeps to the conventions: prefix, base units, _total for counters alone', () => {
    for (const { name, type, help } of METRICS) {
      expect(name).toMatch(/^dpr_[a-z][a-z_]*[a-z]$/u)
      expect(name.endsWith('_total'), name).toBe(type === 'counter')
      expect(name).not.toMatch(/_(?:ms|milliseconds|kib|percent)(?:_|$)/u)
      expect(help).toMatch(/^[A-Z0-9].*\.$/u)
    }
  })
})

describe('docs/reference/metrics.md', () => {
  test('has a row for every metric, with type, labels and meaning, and no other', () => {
    const rows = readFileSync(join(import.meta.dirname, '../../docs/reference/metrics.md'), 'utf8')
      .split('\n')
      .filter((line) => /^\| `dpr_[a-z_]+` \|/u.test(line))
      .map((line) =>
        line
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim()),
      )
    const described = [...METRICS, { ...LOOP_LATE, type: 'histogram', labels: [] }]
    const expected = described.map(({ name, type, labels, help }) => [
      `\`${name}\``,
      type,
      labels.map((label) => `\`${label}\``).join(', '),
      help,
    ])
    expect(rows.toSorted(byName)).toEqual(expected.toSorted(byName))
  })
})

function byName(a: readonly string[], b: readonly string[]): number {
  return a[0]! < b[0]! ? -1 : 1
}

describe('the metrics server', () => {
  async function started(text = async () => 'dpr_up 1\n') {
    // The operating system chooses a port that is free now.
    const port = await freePort()
    const server = createMetricsServer(`127.0.0.1:${port}`, { contentType: 'text/plain; version=0.0.4', text })
    await server.start()
    endings.push(() => server.stop())
    return { port, server, url: `http://127.0.0.1:${port}` }
  }

  test('answers GET /metrics and nothing else', async () => {
    const { url } = await started()
    const answer = await fetch(`${url}/metrics?x=1`)
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4')
    expect(await answer.text()).toBe('dpr_up 1\n')
    const codes = async (path: string, method = 'GET') => (await fetch(`${url}${path}`, { method })).status
    expect([await codes('/'), await codes('/v1/status'), await codes('/metrics', 'POST')]).toEqual([404, 404, 405])
  })

  test('reads once for scrapes that come together, and survives a reading that fails', async () => {
    let readings = 0
    const { url } = await started(async () => {
      readings++
      throw new Error('broken')
    })
    const codes = await Promise.all([1, 2, 3].map(async () => (await fetch(`${url}/metrics`)).status))
    expect(codes).toEqual([500, 500, 500])
    expect(readings).toBe(1)
  })

  test('has room for 16 connections; more are closed, and the daemon lives', async () => {
    const { port, url } = await started()
    const open = Array.from({ length: 24 }, () => connect(port, '127.0.0.1'))
    endings.push(() => open.forEach((socket) => socket.destroy()))
    let closed = 0
    for (const socket of open) socket.on('error', () => undefined).on('close', () => closed++)
    await expect.poll(() => closed, { timeout: 5_000 }).toBe(8)
    for (const socket of open) socket.destroy()
    await expect.poll(async () => (await fetch(`${url}/metrics`).catch(() => undefined))?.status).toBe(200)
  })

  test('says which port is taken, and what to do', async () => {
    const { port } = await started()
    const second = createMetricsServer(`127.0.0.1:${port}`, { contentType: '', text: async () => '' })
    await expect(second.start()).rejects.toMatchObject({
      code: 'E_METRICS_LISTEN',
      message: `cannot serve metrics at 127.0.0.1:${port}: the port is taken`,
      remedy: expect.stringContaining(`sport = :${port}`),
    })
    await second.stop()
  })

  test('says that an address is not this host’s', async () => {
    const server = createMetricsServer('192.0.2.1:9600', { contentType: '', text: async () => '' })
    await expect(server.start()).rejects.toMatchObject({
      code: 'E_METRICS_LISTEN',
      message: 'cannot serve metrics at 192.0.2.1:9600: no such address here',
    })
  })

  test('stops with a connection open, and twice', async () => {
    const { port, server } = await started()
    const socket = connect(port, '127.0.0.1').on('error', () => undefined)
    await new Promise((resolve) => socket.once('connect', resolve))
    await server.stop()
    await server.stop()
  })
})
