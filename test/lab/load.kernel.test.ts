/** The built-in server and the load generator, against each other over a real network. */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { streamBytes } from '../../lab/bytes.ts'
import type { Lab } from '../../lab/lab.ts'
import { startLoad } from '../../lab/load-process.ts'
import type { FlowsReport, LoadFailure, LoadLine, LoadSecond, LoadSummary } from '../../lab/load-report.ts'
import { labDown, labUp } from '../../lab/up.ts'
import { answering, uniqueName } from './labs.ts'

const name = uniqueName()
let lab: Lab

beforeAll(async () => {
  lab = await labUp({ name, segments: 2, hostsPerSegment: 1, daemons: false })
  await answering(lab)
})
afterAll(() => labDown(name))

const h1 = 'http://10.1.0.1'
const h2 = 'http://10.2.0.1'

function curl(...args: string[]): Promise<{ code: number; stdout: string }> {
  return lab.exec('client', ['curl', '-s', '-m', '10', ...args])
}

describe('the server', () => {
  test('says who it is', async () => {
    expect((await curl('-i', `${h1}/`)).stdout).toMatch(/x-dpr-host: h1\r\n[^]*\r\n\r\nh1\n$/)
    expect((await curl(`${h2}/`)).stdout).toBe('h2\n')
  })

  test('holds for the time asked, with its name sent first', async () => {
    const format = '%{time_starttransfer} %{time_total}'
    const [first, total] = (await curl('-o', '/dev/null', '-w', format, `${h1}/hold?ms=700`)).stdout
      .split(' ')
      .map(Number)
    expect(total).toBeGreaterThanOrEqual(0.69)
    expect(total! - first!).toBeGreaterThan(0.3)
  })

  test('streams the bytes that belong to a seed', async () => {
    const { stdout } = await lab.exec('client', ['sh', '-c', `curl -s '${h1}/bytes?n=300001&seed=9' | sha256sum`])
    expect(stdout.slice(0, 64)).toBe(
      createHash('sha256')
        .update(streamBytes(9, 0, 300_001))
        .digest('hex'),
    )
  })

  test('tells what it was sent', async () => {
    const body = 'x'.repeat(100_000)
    const { stdout } = await lab.exec('client', ['curl', '-s', '--data-binary', '@-', `${h2}/sink`], { input: body })
    expect(JSON.parse(stdout)).toEqual({ bytes: 100_000, sha256: createHash('sha256').update(body).digest('hex') })
  })

  test.each([
    ['an unknown path', '/x', 404],
    ['a hold that is no number', '/hold?ms=1e3', 400],
    ['a hold without end', '/hold?ms=99999999', 400],
    ['a negative length', '/bytes?n=-1', 400],
  ])('refuses %s', async (_, path, status) => {
    expect((await curl('-o', '/dev/null', '-w', '%{http_code}', `${h1}${path}`)).stdout).toBe(String(status))
  })
})

/** Runs a load to its end, or until `stopAfter` says so; returns every line. */
async function load(args: string[], stopAfter?: (line: LoadLine) => boolean | Promise<boolean>): Promise<LoadLine[]> {
  const lines: LoadLine[] = []
  let stopping: Promise<void> | undefined
  const judge = async (line: LoadLine) => {
    if (await stopAfter?.(line)) stopping ??= process.stop(20_000)
  }
  const process = startLoad(lab, args, (line) => {
    lines.push(line)
    void judge(line)
  })
  await process.done
  await stopping
  return lines
}

const ofType = <T extends LoadLine>(lines: readonly LoadLine[], type: T['type']) =>
  lines.filter((line): line is T => line.type === type)

describe('the load generator', () => {
  test('open: sends what is due, to every url in turn, and counts every answer', async () => {
    const args = [
      'open',
      '--url',
      `${h1}/`,
      '--url',
      `${h2}/`,
      '--rate',
      '100',
      '--hold-ms',
      '100',
      '--duration-s',
      '3',
    ]
    const lines = await load(args)
    const [summary] = ofType<LoadSummary>(lines, 'summary')
    expect(summary).toMatchObject({ started: 300, answered: 300, failed: 0, byHost: { h1: 150, h2: 150 } })
    expect(summary!.latencyMs.count).toBe(300)
    const seconds = ofType<LoadSecond>(lines, 'second')
    expect(seconds.length).toBeGreaterThanOrEqual(3)
    expect(seconds.reduce((sum, second) => sum + second.started, 0)).toBe(300)
  })

  test('closed: never more than N at a time, ends after its count', async () => {
    const lines = await load(['closed', '--url', `${h1}/hold?ms=20`, '--concurrency', '4', '--count', '40'])
    expect(ofType<LoadSummary>(lines, 'summary')[0]).toMatchObject({ answered: 40, failed: 0, byHost: { h1: 40 } })
    for (const second of ofType<LoadSecond>(lines, 'second')) expect(second.inFlight).toBeLessThanOrEqual(4)
  })

  test('says when and where a request failed, and which host had it', async () => {
    const refused = await load(['open', '--url', `${h1}:81/`, '--rate', '20', '--count', '5'])
    const failures = ofType<LoadFailure>(refused, 'failure')
    expect(failures.map(({ kind, host }) => `${kind} ${host}`)).toEqual(Array(5).fill('ECONNREFUSED null'))
    const late = await load([
      'open',
      '--url',
      `${h2}/hold?ms=5000`,
      '--rate',
      '20',
      '--count',
      '2',
      '--timeout-ms',
      '300',
    ])
    expect(ofType<LoadFailure>(late, 'failure').map(({ kind, host }) => `${kind} ${host}`)).toEqual([
      'timeout h2',
      'timeout h2',
    ])
    expect(ofType<LoadSummary>(late, 'summary')[0]).toMatchObject({ answered: 0, failed: 2, errors: { timeout: 2 } })
  })

  test('stopped: nothing new, what is under way is answered, the summary comes', async () => {
    const args = ['open', '--url', `${h1}/`, '--rate', '50', '--hold-ms', '300', '--duration-s', '600']
    const lines = await load(args, (line) => line.type === 'second')
    const summary = ofType<LoadSummary>(lines, 'summary')[0]!
    expect(summary.started).toBeGreaterThan(0)
    expect(summary).toMatchObject({ failed: 0, answered: summary.started })
  })

  test('says which parameter is wrong', async () => {
    await expect(load(['open', '--rate', '5'])).rejects.toMatchObject({
      code: 'E_LAB_LOAD',
      message: expect.stringContaining('--url') as string,
    })
  })

  test('flows: every byte comes back; a cut shows as a stall and heals', async () => {
    const args = ['flows', '--url', h1, '--url', h2, '--connections', '6', '--interval-ms', '50', '--duration-s', '60']
    let cut = false
    const lines = await load(args, async (line) => {
      if (line.type !== 'flows') return false
      if (!cut && line.open === 6) {
        cut = true
        await lab.killHost('h2')
      } else if (cut && line.stallMsMax > 500 && Object.keys(line.stalledByHost).includes('h2')) {
        await lab.restoreHost('h2')
      } else if (cut && line.second > 3 && line.stallMsMax < 200) return true
      return false
    })
    const summary = ofType<FlowsReport>(lines, 'flows-summary')[0]!
    expect(summary).toMatchObject({ opened: 6, open: 6, broken: 0, corrupted: 0, byHost: { h1: 3, h2: 3 } })
    expect(summary.stalledByHost).toEqual({})
    expect(summary.stallMsMax).toBeGreaterThan(500)
    expect(summary.verifiedBytes).toBeGreaterThan(6 * 64 * 10)
  })

  test('flows: a connection whose server dies is broken, and counted for its host', async () => {
    const args = ['flows', '--url', h1, '--url', h2, '--connections', '4', '--duration-s', '60']
    let killed = false
    const lines = await load(args, async (line) => {
      if (line.type !== 'flows') return false
      if (!killed && line.open === 4) {
        killed = true
        await lab.killServer('h2')
      }
      return line.broken > 0
    })
    expect(ofType<FlowsReport>(lines, 'flows-summary')[0]).toMatchObject({
      open: 2,
      broken: 2,
      brokenByHost: { h2: 2 },
    })
    await lab.startServer('h2')
    await answering(lab)
  })
})
