/** The control socket's answers, built from the node's view. Pure. */
import type { EngineState } from '../datapath/engine.ts'
import type { MemberStatus } from '../gossip/types.ts'
import type { Config } from './config-schema.ts'
import type { PeerJson, StatusJson } from './control-api.ts'
import type { HostStatus } from './control-plane.ts'
import type { ClusterView, KnownMember } from './view.ts'

export function peersJson(view: ClusterView, engine: EngineState): PeerJson[] {
  return view.members.map((known) => peerJson(known, engine))
}

function peerJson({ member, policy, mode, index }: KnownMember, engine: EngineState): PeerJson {
  const { facts, report, status, deadReason, self } = member
  const eligible =
    status === 'alive' && !policy.draining && policy.health !== 'refused' && policy.reachable && mode !== undefined
  return {
    name: facts.name,
    id: facts.id,
    status,
    ...(deadReason === undefined ? {} : { deadReason }),
    address: facts.gossipAddress,
    load: round(report.load),
    draining: policy.draining,
    healthy: policy.health === 'healthy',
    self,
    segments: facts.attachments.map(({ segment }) => segment),
    homes: facts.homes,
    announces: facts.announces,
    mode: mode ?? null,
    eligible,
    flows: self ? engine.activeFlows : (engine.flowsByMember[index] ?? 0),
    reportAgeMs: Math.round(report.ageMs),
  }
}

export interface StatusInputs {
  config: Config
  view: ClusterView
  engine: EngineState
  /** Infinity: everything stays. */
  localLimit: number
  unsure: boolean
  /** Infinity: there was none. */
  lastExchangeAgeMs: number
  uptimeMs: number
  version: string
  host: HostStatus
}

export function statusJson(inputs: StatusInputs): StatusJson {
  const { config, view, engine, localLimit, lastExchangeAgeMs, host } = inputs
  const { counters } = engine
  const { facts, report } = view.self.member
  return {
    name: facts.name,
    id: facts.id,
    policy: config.policy.name,
    datapath: config.datapath.engine,
    announces: inputs.unsure ? [] : view.announced,
    homes: [...config.published],
    load: round(report.load),
    clusterLoad: round(clusterLoad(view)),
    activeFlows: engine.activeFlows,
    localLimit: Number.isFinite(localLimit) ? localLimit : null,
    snapshotVersion: engine.snapshotVersion,
    steering: host.steering,
    unsure: inputs.unsure,
    lastExchangeAgeMs: Number.isFinite(lastExchangeAgeMs) ? Math.round(lastExchangeAgeMs) : null,
    members: countStatuses(view.members.map(({ member }) => member.status)),
    keys: host.keys,
    hashKey: host.hashKey,
    allowed: host.allowed,
    uptimeMs: Math.round(inputs.uptimeMs),
    pid: process.pid,
    version: inputs.version,
    counters: {
      local: counters.flowsLocal,
      redirected: counters.flowsRedirected,
      received: counters.flowsReceived,
      dropped: counters.packetsDropped,
    },
    packets: {
      local: counters.packetsLocal,
      mac: counters.packetsMac,
      ipip: counters.packetsIpip,
      decapsulated: counters.packetsDecapsulated,
      held: counters.packetsHeld,
    },
    drops: counters.drops,
    events: counters.events,
    warnings: [...view.warnings, ...host.warnings],
  }
}

export function countStatuses(statuses: readonly MemberStatus[]): Record<MemberStatus, number> {
  const counts = { alive: 0, suspect: 0, dead: 0, left: 0 }
  for (const status of statuses) counts[status]++
  return counts
}

/** Mean load of the living members, weighted by capacity: what the policy calls the average. */
function clusterLoad(view: ClusterView): number {
  let weighted = 0
  let capacity = 0
  for (const { policy } of view.members) {
    if (policy.draining || policy.health !== 'healthy') continue
    if (policy.status !== 'alive' && policy.status !== 'suspect') continue
    weighted += policy.load * policy.capacity
    capacity += policy.capacity
  }
  return capacity === 0 ? 0 : weighted / capacity
}

function round(value: number): number {
  return Math.round(value * 10_000) / 10_000
}
