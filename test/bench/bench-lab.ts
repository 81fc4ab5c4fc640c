/**
 * The lab in which a benchmark runs: one at a time, under one name, so that two benchmarks cannot disturb each other
 * and the next start removes what a killed one left. And what its engines counted, once they have come to rest.
 */
import type { Lab } from '../../lab/lab.ts'
import { runOk } from '../../lab/command.ts'
import type { LabSpecOptions } from '../../lab/spec.ts'
import { labDown, labUp } from '../../lab/up.ts'
import { linkCounts } from './links.ts'
import type { LinkCounts } from './links.ts'
import { pause } from './run-context.ts'
import type { RunContext } from './run-context.ts'

export const LAB_NAME = 'bench'
const REST_POLL_MS = 100
const REST_DEADLINE_MS = 10_000

/** Builds the lab, uses it, removes it: also when the use fails or the run is told to end. */
export async function withLab<T>(context: RunContext, spec: LabSpecOptions, use: (lab: Lab) => Promise<T>): Promise<T> {
  const { signal, say } = context
  const lab = await labUp({ ...spec, name: LAB_NAME, signal, progress: (text) => say(`  ${text.split('\n', 1)[0]}`) })
  try {
    return await use(lab)
  } finally {
    // Ctrl-C reaches the commands of this, too; what the first left over, the second removes.
    await labDown(LAB_NAME).catch(() => labDown(LAB_NAME))
  }
}

/** What one host's engine has counted since its start; the difference of two is a run. */
export interface HostCounts {
  flowsLocal: number
  flowsRedirected: number
  flowsReceived: number
  packetsLocal: number
  packetsMac: number
  packetsIpip: number
  dropped: number
}

export type LabCounts = Readonly<Record<string, HostCounts>>

/** Waits until nothing passes any engine, and reads all counters: the last FINs belong to the run before. */
export async function countsAtRest(context: RunContext, lab: Lab): Promise<LabCounts> {
  const deadline = performance.now() + REST_DEADLINE_MS
  for (let last = await readCounts(lab); ;) {
    await pause(context, REST_POLL_MS)
    const now = await readCounts(lab)
    if (JSON.stringify(now) === JSON.stringify(last)) return now
    if (performance.now() > deadline) throw new Error('packets still pass the engines though nobody sends any')
    last = now
  }
}

async function readCounts(lab: Lab): Promise<LabCounts> {
  const read = async (name: string): Promise<[string, HostCounts]> => {
    const { counters, packets } = await lab.status(name)
    const { local: flowsLocal, redirected: flowsRedirected, received: flowsReceived, dropped } = counters
    const { local: packetsLocal, mac: packetsMac, ipip: packetsIpip } = packets
    return [name, { flowsLocal, flowsRedirected, flowsReceived, packetsLocal, packetsMac, packetsIpip, dropped }]
  }
  return Object.fromEntries(await Promise.all(lab.hosts.map(({ name }) => read(name))))
}

/** What was counted between two readings, on one host. */
export function grownCounts(before: LabCounts, after: LabCounts, host: string): HostCounts {
  const [from, to] = [before[host]!, after[host]!]
  return Object.fromEntries(
    Object.entries(to).map(([name, value]) => [name, value - from[name as keyof HostCounts]]),
  ) as unknown as HostCounts
}

/** Of a host's interface. */
export async function interfaceCounts(lab: Lab, host: string): Promise<LinkCounts> {
  return linkCounts(await runOk(['ip', '-n', lab.namespace(host), '-j', '-s', 'link']), 'eth0')
}
