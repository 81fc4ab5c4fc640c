import { describe, expect, it } from 'vitest'
import { cellFigures, cellProblems } from './packets-cell.ts'
import type { CellRun } from './packets-cell.ts'
import type { EngineSample, PacketMode } from './packets-messages.ts'

const NO_LINK = { rxBytes: 0, rxPackets: 0, rxDropped: 0, txBytes: 0, txPackets: 0, txDropped: 0 }
const DROPS = { 'send-queue-full': 0, 'tcp-checksum': 0, 'device-queue-full': 0 }

interface Change {
  packets?: number
  drops?: Partial<typeof DROPS>
  deviceDropped?: number
  eth0Sent?: number
  eth0Dropped?: number
  delivered?: number
  atMs?: number
  cpuMs?: number
}

function sample(mode: PacketMode, change: Change = {}): EngineSample {
  const { packets = 0, deviceDropped = 0, eth0Sent = 0, eth0Dropped = 0, delivered = 0 } = change
  return {
    atMs: change.atMs ?? 0,
    flowEntries: 1,
    packetsLocal: mode === 'local' ? packets : 0,
    packetsMac: mode === 'mac' ? packets : 0,
    packetsIpip: mode === 'ipip' ? packets : 0,
    packetsHeld: 0,
    drops: { ...DROPS, ...change.drops },
    workerCpuMs: change.cpuMs ?? 0,
    workerWaitMs: 0,
    links: {
      eth0: { ...NO_LINK, txPackets: eth0Sent, txDropped: eth0Dropped },
      device: { ...NO_LINK, txDropped: deviceDropped },
      deliveredPackets: delivered,
    },
  }
}

function run(mode: PacketMode, sent: number, after: Change): CellRun {
  return {
    before: sample(mode),
    windowStart: sample(mode, { packets: 100, atMs: 1_000, cpuMs: 10 }),
    windowEnd: sample(mode, { packets: 700, atMs: 2_000, cpuMs: 610 }),
    after: sample(mode, after),
    blast: { sent, refused: 0, tookMs: 2_000 },
  }
}

interface Case {
  name: string
  mode: PacketMode
  sent: number
  after: Change
  says: RegExp
}

const good: Omit<Case, 'says'>[] = [
  { name: 'all forwarded', mode: 'mac', sent: 900, after: { packets: 900, eth0Sent: 900 } },
  { name: 'some found no room', mode: 'mac', sent: 900, after: { packets: 700, deviceDropped: 200, eth0Sent: 700 } },
  {
    name: 'some could not be sent',
    mode: 'mac',
    sent: 900,
    after: { packets: 900, drops: { 'send-queue-full': 50 }, eth0Sent: 850, eth0Dropped: 50 },
  },
  { name: 'raw socket: lost unseen', mode: 'ipip', sent: 900, after: { packets: 900, eth0Sent: 890, eth0Dropped: 10 } },
  { name: 'local', mode: 'local', sent: 900, after: { packets: 900, delivered: 900 } },
  {
    name: 'device drops are not counted twice',
    mode: 'mac',
    sent: 900,
    after: { packets: 700, deviceDropped: 200, drops: { 'device-queue-full': 200 }, eth0Sent: 700 },
  },
]

const bad: Case[] = [
  { name: 'vanished before the engine', mode: 'mac', sent: 900, after: { packets: 800, eth0Sent: 800 }, says: /sent/ },
  { name: 'vanished behind it', mode: 'mac', sent: 900, after: { packets: 900, eth0Sent: 800 }, says: /left on eth0/ },
  { name: 'not delivered', mode: 'local', sent: 900, after: { packets: 900, delivered: 1 }, says: /delivered/ },
  {
    name: 'another verdict',
    mode: 'mac',
    sent: 900,
    after: { packets: 0, eth0Sent: 0 },
    says: /nothing was forwarded/,
  },
  {
    name: 'refused by the core',
    mode: 'mac',
    sent: 900,
    after: { packets: 800, drops: { 'tcp-checksum': 100 }, eth0Sent: 800 },
    says: /refused 100/,
  },
]

describe('frames are all accounted for', () => {
  it.each(good)('$name', ({ mode, sent, after }) => expect(cellProblems({ mode }, run(mode, sent, after))).toEqual([]))
})

describe('a cell is refused when frames', () => {
  it.each(bad)('are $name', ({ mode, sent, after, says }) => {
    expect(cellProblems({ mode }, run(mode, sent, after)).join('; ')).toMatch(says)
  })
})

it('figures come from the window; losses on leaving do not count as forwarded', () => {
  const figures = cellFigures({ mode: 'ipip' }, run('ipip', 900, { packets: 900, eth0Sent: 810, eth0Dropped: 90 }))
  expect(figures.forwardedPerSecond).toBeCloseTo(540)
  expect(figures.offeredPerSecond).toBe(450)
  expect([figures.workerShare, figures.cpuNsPerPacket]).toEqual([0.6, 1e6])
})
