/** Five hosts, as the targets of the design ask for, on two segments: 3 + 2. */
import type { Lab } from '../../lab/lab.ts'
import { waitForMembers } from '../../lab/ready.ts'
import { GOSSIP_PORT, labHosts, labSpec } from '../../lab/spec.ts'
import type { LabSpecOptions } from '../../lab/spec.ts'
import { withLab } from './bench-lab.ts'
import type { RunContext } from './run-context.ts'

const READY_MS = 60_000
/** The lab makes segments of one size, so a sixth host exists; nothing runs on it and nobody is told of it. */
const MEMBERS = ['h1', 'h2', 'h3', 'h4', 'h5'] as const
const SHAPE = { segments: 2, hostsPerSegment: 3 } as const

export function members(lab: Lab): string[] {
  return lab.hosts.map(({ name }) => name).filter((name) => MEMBERS.some((member) => member === name))
}

/** No servers: detection and gossip are to be seen alone. */
export function withFiveMembers<T>(context: RunContext, use: (lab: Lab) => Promise<T>): Promise<T> {
  const spec: LabSpecOptions = { ...SHAPE, daemons: false, servers: false, overrides: seedsAmongMembers() }
  return withLab(context, spec, async (lab) => {
    for (const name of members(lab)) await lab.startDaemon(name)
    await untilWhole(context, lab)
    return use(lab)
  })
}

/** @throws Error naming the host that does not see all others alive and eligible in time */
export async function untilWhole(context: RunContext, lab: Lab): Promise<void> {
  const watched = members(lab).map((name) => ({
    name,
    running: () => lab.daemonRunning(name),
    peers: () => lab.peers(name),
    status: () => lab.status(name),
  }))
  const missing = await waitForMembers(watched, watched.length, READY_MS, context.signal)
  if (missing !== undefined) throw new Error(`${missing.host}: ${missing.reason}`)
}

function seedsAmongMembers(): Record<string, Record<string, unknown>> {
  const hosts = labHosts(labSpec(SHAPE)).filter(({ name }) => MEMBERS.some((member) => member === name))
  const seedsFor = (name: string): string[] =>
    hosts.filter((other) => other.name !== name).map(({ address }) => `${address}:${GOSSIP_PORT}`)
  return Object.fromEntries(hosts.map(({ name }) => [name, { gossip: { port: GOSSIP_PORT, seeds: seedsFor(name) } }]))
}
