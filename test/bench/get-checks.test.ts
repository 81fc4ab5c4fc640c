import { describe, expect, it } from 'vitest'
import { grownCounts } from './bench-lab.ts'
import type { HostCounts } from './bench-lab.ts'
import { runProblems } from './get-checks.ts'
import type { CheckedRun, Way } from './get-checks.ts'

const NONE: HostCounts = {
  flowsLocal: 0,
  flowsRedirected: 0,
  flowsReceived: 0,
  packetsLocal: 0,
  packetsMac: 0,
  packetsIpip: 0,
  dropped: 0,
}
const WRK = { requests: 1_000, requestsPerSecond: 200, socketErrors: 0, badAnswers: 0 }

/** A run that measured what it says. */
function goodRun(way: Way, flows: number): CheckedRun {
  if (way === 'direct') return { wrk: WRK, h1: NONE, h2: NONE }
  if (way === 'local') return { wrk: WRK, h1: { ...NONE, flowsLocal: flows, packetsLocal: 1_200 }, h2: NONE }
  const packets = way === 'mac' ? { packetsMac: 1_200 } : { packetsIpip: 1_200 }
  return {
    wrk: WRK,
    h1: { ...NONE, flowsRedirected: flows, ...packets },
    h2: { ...NONE, flowsReceived: flows, packetsLocal: 1_200 },
  }
}

describe('a run as it should be', () => {
  it.each<[Way, boolean, number]>([
    ['mac', false, 50],
    ['mac', true, 1_000],
    ['ipip', false, 50],
    ['local', false, 50],
    ['direct', false, 0],
    ['direct', true, 0],
  ])('%s, connection per GET: %s', (way, perGet, flows) => {
    expect(runProblems(way, perGet, goodRun(way, flows))).toEqual([])
  })

  it('may drop packets: that is part of the price', () => {
    const run = goodRun('mac', 50)
    expect(runProblems('mac', false, { ...run, h1: { ...run.h1, dropped: 7 } })).toEqual([])
  })
})

interface Bad {
  name: string
  way: Way
  perGet?: boolean
  wrk?: Partial<CheckedRun['wrk']>
  h1?: Partial<HostCounts>
  h2?: Partial<HostCounts>
  says: RegExp
}

const bad: Bad[] = [
  { name: 'socket errors', way: 'direct', wrk: { socketErrors: 1 }, says: /1 socket errors/ },
  { name: 'other answers than 2xx', way: 'mac', wrk: { badAnswers: 3 }, says: /3 answers/ },
  { name: 'no answer at all', way: 'direct', wrk: { requests: 0 }, says: /no request/ },
  { name: 'a direct run through h1', way: 'direct', h1: { packetsMac: 4 }, says: /4 packets of a direct run/ },
  { name: 'a direct run through h2', way: 'direct', h2: { packetsLocal: 5 }, says: /5 packets of a direct run/ },
  { name: 'fewer flows than connections', way: 'mac', h1: { flowsRedirected: 49 }, says: /49 flows .* not 50/ },
  { name: 'fewer flows than requests', way: 'mac', perGet: true, says: /50 flows .* not 1000/ },
  { name: 'a flow that stayed', way: 'ipip', h1: { flowsLocal: 1 }, says: /1 flows stayed/ },
  { name: 'flows that never arrived', way: 'mac', h2: { flowsReceived: 48 }, says: /received 48 of 50/ },
  { name: 'the other mode', way: 'mac', h1: { packetsIpip: 2 }, says: /2 packets went by the other mode/ },
  { name: 'requests past the engine', way: 'ipip', h1: { packetsIpip: 999 }, says: /999 packets .* 1000 requests/ },
  { name: 'local that was redirected', way: 'local', h1: { flowsRedirected: 1 }, says: /1 flows were redirected/ },
  { name: 'local requests past the engine', way: 'local', h1: { packetsLocal: 10 }, says: /10 packets stayed/ },
  { name: 'local that reached h2', way: 'local', h2: { packetsLocal: 1 }, says: /reached the engine of h2/ },
]

describe('a run is refused for', () => {
  it.each(bad)('$name', ({ way, perGet = false, wrk, h1, h2, says }) => {
    const run = goodRun(way, 50)
    const changed = { wrk: { ...run.wrk, ...wrk }, h1: { ...run.h1, ...h1 }, h2: { ...run.h2, ...h2 } }
    const problems = runProblems(way, perGet, changed)
    expect(problems.join('; ')).toMatch(says)
  })
})

it('a run is the difference of two readings', () => {
  const before = { h1: { ...NONE, packetsMac: 10 }, h2: NONE }
  const after = { h1: { ...NONE, packetsMac: 15, dropped: 2 }, h2: NONE }
  expect(grownCounts(before, after, 'h1')).toEqual({ ...NONE, packetsMac: 5, dropped: 2 })
})
