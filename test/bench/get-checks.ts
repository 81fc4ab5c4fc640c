/**
 * Whether a run measured what it says: the engines' counters must show that the flows went the way that is claimed, and
 * wrk must have had no trouble. A figure is as good as these checks; they are pure, so each of them is tested.
 */
import type { HostCounts } from './bench-lab.ts'
import { CONNECTIONS } from './wrk.ts'
import type { WrkResult } from './wrk.ts'

/** `direct` uses a node address, which no engine sees. */
export type Way = 'mac' | 'ipip' | 'local' | 'direct'

/** What happened between two readings of the counters; h1 receives the client's packets, h2 serves if h1 does not. */
export interface CheckedRun {
  wrk: WrkResult
  h1: HostCounts
  h2: HostCounts
}

/** Why a run is no measurement, in words; empty if it is one. */
export function runProblems(way: Way, connectionPerGet: boolean, run: CheckedRun): string[] {
  const problems: string[] = []
  const { wrk, h1, h2 } = run
  const must = (holds: boolean, otherwise: string): void => {
    if (!holds) problems.push(otherwise)
  }
  must(wrk.requests > 0, 'no request was answered')
  must(wrk.socketErrors === 0, `wrk had ${wrk.socketErrors} socket errors`)
  must(wrk.badAnswers === 0, `${wrk.badAnswers} answers were neither 2xx nor 3xx`)
  if (way === 'direct') {
    const packets = enginePackets(h1) + enginePackets(h2)
    must(packets === 0, `${packets} packets of a direct run passed an engine`)
    return problems
  }
  const flows = connectionPerGet ? wrk.requests : CONNECTIONS
  if (way === 'local') {
    must(h1.flowsLocal >= flows, `${h1.flowsLocal} flows stayed on h1, not ${flows}`)
    must(h1.packetsLocal >= wrk.requests, `${h1.packetsLocal} packets stayed on h1 for ${wrk.requests} requests`)
    must(h1.flowsRedirected === 0, `${h1.flowsRedirected} flows were redirected`)
    must(enginePackets(h2) === 0, `${enginePackets(h2)} packets reached the engine of h2`)
    return problems
  }
  const [packets, others] = way === 'mac' ? [h1.packetsMac, h1.packetsIpip] : [h1.packetsIpip, h1.packetsMac]
  must(h1.flowsRedirected >= flows, `${h1.flowsRedirected} flows were redirected, not ${flows}`)
  must(h1.flowsLocal === 0, `${h1.flowsLocal} flows stayed on h1`)
  must(h2.flowsReceived === h1.flowsRedirected, `h2 received ${h2.flowsReceived} of ${h1.flowsRedirected} flows`)
  must(packets >= wrk.requests, `${packets} packets went by ${way} for ${wrk.requests} requests`)
  must(others === 0, `${others} packets went by the other mode`)
  return problems
}

function enginePackets({ packetsLocal, packetsMac, packetsIpip }: HostCounts): number {
  return packetsLocal + packetsMac + packetsIpip
}
