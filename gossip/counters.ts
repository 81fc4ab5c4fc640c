/** What the core counts, for metrics: numbers only, each grows for ever. */
import type { Message } from './messages.ts'
import type { Hearing } from './verdicts.ts'

export interface CoreCounters {
  /** Late ticks that were taken for a stall of our own. */
  stalls: number
  probesSent: number
  probesAnswered: number
  /** Of these, through a helper. */
  probesAnsweredIndirectly: number
  probesFailed: number
  /** Requests to helpers. */
  indirectProbesSent: number
  /** Probes made for others. */
  errands: number
  errandsDeclined: number
  /** Frames that never left, as the shell reported. */
  unreachable: number
  accusationsMade: number
  accusationsTaken: number
  accusationsKnown: number
  accusationsFromStrangers: number
  accusationsOutdated: number
  accusationsForged: number
  accusationsReplayed: number
  accusationsTooMany: number
  suspicions: number
  refutations: number
  deathsSilent: number
  deathsDaemonOnly: number
  departures: number
  factsAdmitted: number
  factsRefused: number
  reportsAdmitted: number
  reportsStale: number
  /** Blocks of reports that ended in garbage. */
  reportsMalformed: number
  /** News of others passed on at once, members counted, not messages. */
  newsForwarded: number
  /** Left to the digests, because there was too much of it. */
  newsSuppressed: number
  /** Exchanges that showed different views. */
  viewsDiffered: number
  pingsReceived: number
  acksReceived: number
  pingReqsReceived: number
  relayedAcksReceived: number
  nacksReceived: number
  pushesReceived: number
}

export function zeroCounters(): CoreCounters {
  return {
    stalls: 0,
    probesSent: 0,
    probesAnswered: 0,
    probesAnsweredIndirectly: 0,
    probesFailed: 0,
    indirectProbesSent: 0,
    errands: 0,
    errandsDeclined: 0,
    unreachable: 0,
    accusationsMade: 0,
    accusationsTaken: 0,
    accusationsKnown: 0,
    accusationsFromStrangers: 0,
    accusationsOutdated: 0,
    accusationsForged: 0,
    accusationsReplayed: 0,
    accusationsTooMany: 0,
    suspicions: 0,
    refutations: 0,
    deathsSilent: 0,
    deathsDaemonOnly: 0,
    departures: 0,
    factsAdmitted: 0,
    factsRefused: 0,
    reportsAdmitted: 0,
    reportsStale: 0,
    reportsMalformed: 0,
    newsForwarded: 0,
    newsSuppressed: 0,
    viewsDiffered: 0,
    pingsReceived: 0,
    acksReceived: 0,
    pingReqsReceived: 0,
    relayedAcksReceived: 0,
    nacksReceived: 0,
    pushesReceived: 0,
  }
}

export const RECEIVED: Readonly<Record<Message['type'], keyof CoreCounters>> = {
  ping: 'pingsReceived',
  ack: 'acksReceived',
  'ping-req': 'pingReqsReceived',
  'relayed-ack': 'relayedAcksReceived',
  nack: 'nacksReceived',
  push: 'pushesReceived',
}

export const HEARD: Readonly<Record<Hearing, keyof CoreCounters>> = {
  taken: 'accusationsTaken',
  known: 'accusationsKnown',
  stranger: 'accusationsFromStrangers',
  outdated: 'accusationsOutdated',
  forged: 'accusationsForged',
  replay: 'accusationsReplayed',
  'too many': 'accusationsTooMany',
}
