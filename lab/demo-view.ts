/**
 * What the demo prints: the diagram, a frame a second, the summary. Pure text from values; the caller owns the
 * terminal.
 */
import { answersByMode, classifyFailures, detectedByAll, lostConnections, sum } from './demo-verdict.ts'
import type { Claim, DemoFacts } from './demo-verdict.ts'
import type { FlowsReport, LoadSecond } from './load-report.ts'
import type { PeerJson } from '../node/control-api.ts'
import { CLIENT_ADDRESS, segmentName } from './spec.ts'
import type { LabHostPlan } from './spec.ts'

const BAR_WIDTH = 24

/** One second of the demo. */
export interface Frame {
  /** Since the load began. */
  readonly second: number
  /** What is happening, one clause. */
  readonly caption: string
  readonly hosts: readonly LabHostPlan[]
  /** As the entrance sees them; empty if it did not answer. */
  readonly peers: readonly PeerJson[]
  readonly load: LoadSecond | undefined
  readonly flows: FlowsReport | undefined
}

export function diagram(hosts: readonly LabHostPlan[], entrance: string): string[] {
  const lines = [`  client ${CLIENT_ADDRESS}`, '    │', '  router']
  const segments = [...new Set(hosts.map((host) => host.segmentNumber))]
  segments.forEach((number, index) => {
    const last = index === segments.length - 1
    lines.push(`    ${last ? '└' : '├'}── ${segmentName(number)} 10.${number}.0.0/24`)
    for (const host of hosts.filter((host) => host.segmentNumber === number)) {
      const mark = host.name === entrance ? '   ◀── all requests go to this address' : ''
      lines.push(
        `    ${last ? ' ' : '│'}     ${host.name}  ${host.address}  publishes ${host.published.join(', ')}${mark}`,
      )
    }
  })
  return lines
}

/** A block for a terminal that can be redrawn in place; always the same number of lines. */
export function frameBlock(frame: Frame): string[] {
  const perSecond = sum(frame.load?.byHost ?? {})
  return [
    `  ${frame.second} s  ${frame.caption}`,
    '  host  segment  load   answers/s                        reached from the entrance',
    ...frame.hosts.map((host) => {
      const answers = frame.load?.byHost[host.name] ?? 0
      const bar = '█'.repeat(perSecond === 0 ? 0 : Math.round((answers / perSecond) * BAR_WIDTH))
      const peer = frame.peers.find((peer) => peer.name === host.name)
      return `  ${host.name.padEnd(5)} ${host.segment.padEnd(8)} ${loadOf(peer).padEnd(6)} ${String(answers).padStart(4)} ${bar.padEnd(
        BAR_WIDTH,
      )}    ${reached(peer)}`
    }),
    `  ${loadWords(frame.load)}`,
    `  ${flowsWords(frame.flows)}`,
  ]
}

/** The same for a log: one line. */
export function frameLine(frame: Frame): string {
  const hosts = frame.hosts.map((host) => {
    const peer = frame.peers.find((peer) => peer.name === host.name)
    return `${host.name} ${frame.load?.byHost[host.name] ?? 0}/s load ${loadOf(peer)} (${reached(peer)})`
  })
  return `${frame.second} s  ${hosts.join('  ')}  | ${loadWords(frame.load)} | ${flowsWords(frame.flows)}`
}

/** Nobody knows the load of a member that is not heard. */
function loadOf(peer: PeerJson | undefined): string {
  return peer?.status === 'alive' ? peer.load.toFixed(2) : '-'
}

function reached(peer: PeerJson | undefined): string {
  if (peer === undefined) return '?'
  if (peer.self) return 'serves here'
  if (peer.status !== 'alive') return peer.status
  return peer.mode === null ? 'gets none' : `by ${peer.mode}, ${peer.flows} flows`
}

function loadWords(load: LoadSecond | undefined): string {
  if (load === undefined) return 'requests: starting'
  const kinds = Object.entries(load.errors).map(([kind, count]) => `${count} ${kind}`)
  const failed = load.failed === 0 ? '0 failed' : `${load.failed} failed (${kinds.join(', ')})`
  const { p50, p99 } = load.latencyMs
  return `requests: ${load.answered}/s answered, ${failed}, ${p50.toFixed(1)} ms median, ${p99.toFixed(0)} ms p99`
}

function flowsWords(flows: FlowsReport | undefined): string {
  if (flows === undefined) return 'long-lived connections: none yet'
  const stall = flows.stallMsMax > 300 ? `, longest pause ${flows.stallMsMax} ms` : ''
  const lost = sum(lostConnections(flows))
  return `long-lived connections: ${flows.opened - lost} exchanging bytes, ${lost} lost or silent${stall}`
}

export function summary(facts: DemoFacts, claims: readonly Claim[]): string[] {
  const failures = classifyFailures(facts)
  const { entrance, victim } = facts
  const detected = detectedByAll(facts)
  const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`
  const lost = sum(lostConnections(facts.flows))
  const onVictim = facts.flows.byHost[victim] ?? 0
  return [
    `Every request went to ${entrance}. Answered:`,
    ...facts.hosts.map((host) => `  ${host}  ${String(facts.total[host] ?? 0).padStart(5)}   ${how(facts, host)}`),
    `${entrance} redirected ${facts.redirected} new connections; answered through mac: ${answersByMode(facts, 'mac')}, ` +
      `through ipip: ${answersByMode(facts, 'ipip')}. Replies went straight to the client.`,
    '',
    `${victim} lost its network without a word while serving.`,
    detected < Infinity
      ? `  all others knew after ${seconds(detected - facts.cutMs)}`
      : '  not every other host noticed it',
    facts.takeoverMs === undefined
      ? `  its own published address (nobody used it here) had no new announcer when the demo ended`
      : `  its own published address answered again after ${seconds(facts.takeoverMs - facts.cutMs)}, from another host`,
    `  requests failed before it: ${failures.before.length}`,
    `  requests lost with it: ${failures.victim.length} (it was serving them, or they began before the others knew)`,
    `  requests lost on living hosts: ${failures.living.length}; of those that began later: ${failures.after.length}`,
    `  long-lived connections: ${facts.flows.opened} opened, ${onVictim} of them on ${victim}; ` +
      `lost ${lost}, still exchanging bytes ${facts.flows.opened - lost}`,
    '',
    ...claims.map(({ claim, held }) => `${held ? 'held  ' : 'FAILED'}  ${claim}`),
  ]
}

function how(facts: DemoFacts, host: string): string {
  if (host === facts.entrance) return 'by itself'
  const mode = facts.modes[host]
  if (mode === 'mac') return `redirected by mac (same segment: only the Ethernet destination changes)`
  if (mode === 'ipip') return 'redirected by ipip (another segment: packet in a packet)'
  return 'not reached'
}
