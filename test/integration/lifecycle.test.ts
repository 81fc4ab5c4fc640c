/**
 * The daemon's life in a real cluster of two: whatever ends it, the host serves on, the next start repairs, and an
 * orderly stop leaves nothing. h1 keeps all flows that reach it; h2 passes all on to h1.
 */
import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import type { Lab } from '../../lab/lab.ts'
import { startLoad } from '../../lab/load-process.ts'
import type { FlowsReport, LoadSummary } from '../../lab/load-report.ts'
import { labDown, labUp } from '../../lab/up.ts'
import {
  agreed,
  answerFrom,
  eventually,
  filesIn,
  guardsOn,
  hostPicture,
  logLines,
  seen,
  startedNode,
  startNode,
  steeringFilters,
  steers,
  stopNode,
  writeConfig,
} from './hosts.ts'
import type { LogLine, TestDaemon } from './hosts.ts'

const NAME = `life${process.pid}`
/** Moments after the spawn at which a start is killed, ms: from before the first line of code to after the last. */
const KILL_MOMENTS_MS = [0, 300, 450, 550, 650, 750, 850, 950, 1_050, 1_150, 1_300, 1_500]

let lab: Lab
let p1: string
let p2: string
let before: Awaited<ReturnType<typeof hostPicture>>
/** On h2 from the beginning to the end, except where a test says otherwise. */
let other: TestDaemon

beforeAll(async () => {
  const overrides = {
    h1: { policy: { name: 'local' } },
    h2: { policy: { name: 'router', slowStartMs: 0 } },
  }
  lab = await labUp({ name: NAME, segments: 2, hostsPerSegment: 1, daemons: false, overrides })
  p1 = lab.host('h1').published[0]!
  p2 = lab.host('h2').published[0]!
  for (const { address, name } of lab.hosts) {
    await eventually(
      `server of ${name}`,
      () => answerFrom(lab, address),
      (from) => from === name,
    )
  }
  before = await hostPicture(lab, 'h1')
  other = await startedNode(lab, 'h2')
})
afterAll(() => labDown(NAME))

/** A daemon on h1 that knows h2; killed, if still there, when the test is over. */
async function daemonOnH1(): Promise<TestDaemon> {
  const daemon = await startedNode(lab, 'h1')
  onTestFinished(() => daemon.kill('SIGKILL'))
  await agreed(lab, ['h1', 'h2'])
  await acceptsAll()
  return daemon
}

/** Until h1 accepts and steers the published addresses of both, and both answer. */
async function acceptsAll(): Promise<void> {
  await eventually(
    'steered addresses',
    () => steeringFilters(lab, 'h1'),
    (count) => count === 3,
  )
  for (const address of [p1, p2])
    await eventually(
      address,
      () => answerFrom(lab, address),
      (from) => from === 'h1',
    )
}

async function expectAsFound(): Promise<void> {
  expect(await hostPicture(lab, 'h1')).toEqual(before)
}

/** A start and a stop without incident; then nothing is left, whatever was before. */
async function startAndStop(): Promise<void> {
  const daemon = await startedNode(lab, 'h1')
  const { warnings, steering } = await lab.status('h1')
  expect({ warnings, steering }).toEqual({ warnings: [], steering: 'on' })
  expect(await stopNode(daemon)).toEqual({ code: 0, signal: null })
  expect(daemon.stderr()).toBe('')
  await expectAsFound()
}

/** Long-lived connections to an address; `latest` is what they said last. */
function openFlows(address: string): { latest: () => FlowsReport | undefined; stop: () => Promise<void> } {
  let latest: FlowsReport | undefined
  const args = ['flows', '--url', `http://${address}`, '--connections', '4', '--interval-ms', '50']
  const load = startLoad(lab, args, (line) => {
    if (line.type === 'flows' || line.type === 'flows-summary') latest = line
  })
  onTestFinished(() => load.stop(5_000))
  return { latest: () => latest, stop: () => load.stop(5_000) }
}

/** Until these connections have moved verified bytes in both directions since now. */
async function flowsGoOn(flows: ReturnType<typeof openFlows>): Promise<void> {
  const start = flows.latest()
  const verified = await eventually(
    'flows',
    () => flows.latest(),
    (now) => (now?.second ?? 0) >= (start?.second ?? 0) + 2 && now!.verifiedBytes > (start?.verifiedBytes ?? 0),
  )
  expect(verified).toMatchObject({ opened: 4, open: 4, broken: 0, corrupted: 0, byHost: { h1: 4 } })
}

function newLines(host: string, since: number): LogLine[] {
  return logLines(lab, host).slice(since)
}

describe('an orderly end undoes every change to the host', () => {
  const rows: { name: string; end: (daemon: TestDaemon) => void | Promise<void> }[] = [
    { name: 'SIGTERM', end: (daemon) => daemon.kill('SIGTERM') },
    { name: 'SIGINT', end: (daemon) => daemon.kill('SIGINT') },
    {
      name: 'SIGTERM after a SIGHUP, which only makes it read its keys again',
      end: async (daemon) => {
        daemon.kill('SIGHUP')
        await eventually(
          'a line about the reload',
          () => logLines(lab, 'h1').at(-1)?.event,
          (event) => event === 'reloaded',
        )
        expect(daemon.isRunning()).toBe(true)
        daemon.kill('SIGTERM')
      },
    },
    {
      name: 'SIGTERM, and again while it is undoing',
      end: async (daemon) => {
        for (let i = 0; i < 20 && daemon.isRunning(); i++) {
          daemon.kill('SIGTERM')
          await sleep(20)
        }
      },
    },
    {
      name: 'Ctrl-C, three times, which reaches the tools that it runs as well',
      end: async (daemon) => {
        for (let i = 0; i < 3 && daemon.isRunning(); i++) {
          daemon.killGroup('SIGINT')
          await sleep(70)
        }
      },
    },
  ]
  it.each(rows)('$name', async ({ end }) => {
    const daemon = await daemonOnH1()
    const during = await hostPicture(lab, 'h1')
    for (const key of ['addresses', 'qdiscs', 'filters', 'nft', 'sysctls', 'sockets', 'processes'] as const) {
      expect(during[key], `${key} while it runs`).not.toBe(before[key])
    }
    expect(during.runtimeFiles).toBe('control.sock\nhost.json\nhost.lock')
    await end(daemon)
    expect(await daemon.ended).toEqual({ code: 0, signal: null })
    expect(daemon.stderr()).toBe('')
    await expectAsFound()
  })

  it('SIGTERM during the start', async () => {
    for (const ms of [500, 700, 900]) {
      const daemon = startNode(lab, 'h1')
      await sleep(ms)
      daemon.kill('SIGTERM')
      const end = await daemon.ended
      // Before the first line of our code has run, the signal ends the process by itself.
      expect([
        { code: 0, signal: null },
        { code: null, signal: 'SIGTERM' },
      ]).toContainEqual(end)
      expect(daemon.stderr()).toBe('')
      await expectAsFound()
    }
  })

  it('leaves alone a published address that the operator had put on lo', async () => {
    await lab.exec('h1', ['ip', 'address', 'add', `${p2}/32`, 'dev', 'lo'])
    onTestFinished(async () => void (await lab.exec('h1', ['ip', 'address', 'del', `${p2}/32`, 'dev', 'lo'])))
    const own = await hostPicture(lab, 'h1')
    const daemon = await daemonOnH1()
    await stopNode(daemon)
    expect(await hostPicture(lab, 'h1')).toEqual(own)
  })
})

describe('kill -9', () => {
  it("opens the steering: the host's own server answers, connections that end there go on; the next start repairs", async () => {
    const daemon = await daemonOnH1()
    const flows = openFlows(p1)
    await flowsGoOn(flows)
    expect(await stopNode(daemon, 'SIGKILL')).toEqual({ code: null, signal: 'SIGKILL' })
    await eventually(
      'filters after the kill',
      () => steeringFilters(lab, 'h1'),
      (count) => count === 0,
    )
    expect(await answerFrom(lab, p1, 5)).toBe('h1')
    await flowsGoOn(flows)
    await eventually(
      'guards',
      () => guardsOn(lab, 'h1'),
      (pids) => pids.length === 0,
    )

    const next = await daemonOnH1()
    const { warnings } = await lab.status('h1')
    expect(warnings).toEqual([])
    expect(await answerFrom(lab, p1, 5)).toBe('h1')
    await flowsGoOn(flows)
    await flows.stop()
    await stopNode(next)
    await expectAsFound()
  })

  it('of the guard alone: another one comes, and the steering stays', async () => {
    const daemon = await daemonOnH1()
    const [guard] = guardsOn(lab, 'h1')
    process.kill(guard!, 'SIGKILL')
    await eventually(
      'guards',
      () => guardsOn(lab, 'h1'),
      (pids) => pids.length === 1 && pids[0] !== guard,
    )
    expect(await steeringFilters(lab, 'h1')).toBe(3)
    expect(await answerFrom(lab, p1)).toBe('h1')
    expect((await lab.status('h1')).steering).toBe('on')
    // The new one works as the first did.
    await stopNode(daemon, 'SIGKILL')
    await eventually(
      'filters after the kill',
      () => steeringFilters(lab, 'h1'),
      (count) => count === 0,
    )
    await startAndStop()
  })

  it('of daemon and guard at once: nobody opens the steering, the next start repairs it', async () => {
    const daemon = await daemonOnH1()
    const guards = guardsOn(lab, 'h1')
    expect(guards).toHaveLength(1)
    process.kill(guards[0]!, 'SIGKILL')
    daemon.kill('SIGKILL')
    await daemon.ended
    expect(await steeringFilters(lab, 'h1'), 'without a guard the filters stay').toBe(3)
    const next = await daemonOnH1()
    expect((await lab.status('h1')).warnings).toEqual([])
    expect(logLines(lab, 'h1').some(({ msg }) => msg.startsWith('repaired the steering'))).toBe(true)
    await stopNode(next)
    await expectAsFound()
  })

  it.each([0, 1, 2])('at any moment of a start, part %i: the next life leaves nothing', async (part) => {
    for (const ms of KILL_MOMENTS_MS.filter((_, index) => index % 3 === part)) {
      const daemon = startNode(lab, 'h1')
      await sleep(ms)
      daemon.kill('SIGKILL')
      await daemon.ended
    }
    await startAndStop()
  })
})

describe('in the cluster', () => {
  it('a second daemon on the host is refused, and the running one goes on', async () => {
    const daemon = await daemonOnH1()
    let summary: LoadSummary | undefined
    const load = startLoad(lab, ['closed', '--url', `http://${p1}/`, '--concurrency', '2'], (line) => {
      if (line.type === 'summary') summary = line
    })
    const running = await hostPicture(lab, 'h1')
    const elsewhere = join(tmpdir(), `${NAME}-second`)
    onTestFinished(() => rmSync(elsewhere, { recursive: true, force: true }))
    const config = writeConfig(lab, 'h1', join(lab.paths('h1').directory, 'second.yaml'), {
      runtimeDirectory: elsewhere,
      gossip: { port: 7_601, seeds: [] },
    })
    for (const options of [{}, { config }]) {
      const second = startNode(lab, 'h1', options)
      expect(await second.ended).toEqual({ code: 19, signal: null })
      expect(second.stderr()).toMatch(/^dpr: E_ALREADY_RUNNING: [^\n]+; [^\n]+\n$/)
      expect(await hostPicture(lab, 'h1')).toEqual(running)
    }
    expect(filesIn(elsewhere)).toEqual([])
    await load.stop(10_000)
    expect(summary).toMatchObject({ failed: 0, errors: {} })
    expect(summary!.answered).toBeGreaterThan(10)
    await stopNode(daemon)
    await expectAsFound()
  })

  it('a stopped node has left and is not dead; it comes back as itself, with a higher incarnation, and gets flows', async () => {
    const first = await daemonOnH1()
    const { id } = await lab.status('h1')
    const since = logLines(lab, 'h2').length
    await stopNode(first)
    await eventually(
      'h1 as seen by h2',
      () => seen(lab, 'h2', 'h1'),
      (status) => status === 'left',
    )
    await eventually(
      p2,
      () => answerFrom(lab, p2),
      (from) => from === 'h2',
    )

    const second = await daemonOnH1()
    expect((await lab.status('h1')).id).toBe(id)
    const received = (await lab.status('h1')).counters.received
    expect(await answerFrom(lab, p2)).toBe('h1')
    expect((await lab.status('h1')).counters.received).toBe(received + 1)

    const story = newLines('h2', since).filter(({ member }) => member === 'h1')
    expect(story.map(({ msg }) => msg)).not.toContain('dead')
    const incarnations = story.map(({ incarnation }) => Number(incarnation))
    expect(incarnations.at(-1)).toBeGreaterThan(incarnations[0]!)
    await stopNode(second)
  })

  it('SIGTERM of a rewriter or of a destination under load: no exception anywhere', async () => {
    const daemon = await daemonOnH1()
    const since = { h1: logLines(lab, 'h1').length, h2: logLines(lab, 'h2').length }
    const download = `for i in 1 2 3 4; do curl -s -m 30 -o /dev/null 'http://${p2}/bytes?n=4000000000&seed=3' & done; wait`
    for (const host of ['h2', 'h1'] as const) {
      const clients = lab.spawn('client', ['sh', '-c', download], 'ignore')
      onTestFinished(() => void clients.kill('SIGKILL'))
      const packets = async () => {
        const { packets: now } = await lab.status('h2')
        return now.ipip
      }
      const start = await packets()
      await eventually('packets through h2', packets, (now) => now > start + 200)
      if (host === 'h2') {
        expect(await stopNode(other)).toEqual({ code: 0, signal: null })
        expect(other.stderr()).toBe('')
        other = await startedNode(lab, 'h2')
        await agreed(lab, ['h1', 'h2'])
        await acceptsAll()
      } else {
        expect(await stopNode(daemon)).toEqual({ code: 0, signal: null })
        expect(daemon.stderr()).toBe('')
        await eventually(
          'h1 as seen by h2',
          () => seen(lab, 'h2', 'h1'),
          (status) => status === 'left',
        )
      }
      await lab.exec('client', ['sh', '-c', 'kill $(ss -Htnp | grep -o "pid=[0-9]*" | cut -d= -f2) 2>/dev/null; true'])
    }
    for (const host of ['h1', 'h2'] as const) {
      const bad = newLines(host, since[host]).filter(({ level }) => !['info', 'debug'].includes(level))
      expect(bad, host).toEqual([])
    }
    await expectAsFound()
  })

  it('kill -9 of every daemon at once, then all again: everything converges', async () => {
    const one = await daemonOnH1()
    one.kill('SIGKILL')
    other.kill('SIGKILL')
    await Promise.all([one.ended, other.ended])
    const again = [startNode(lab, 'h1'), startNode(lab, 'h2')] as const
    other = again[1]
    await Promise.all([steers(lab, 'h1', again[0]), steers(lab, 'h2', again[1])])
    await agreed(lab, ['h1', 'h2'])
    await acceptsAll()
    for (const host of ['h1', 'h2']) expect((await lab.status(host)).warnings, host).toEqual([])
    await stopNode(again[0])
    await expectAsFound()
  })
})
