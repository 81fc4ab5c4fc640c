/**
 * Every knob of membership, with its formula and what it trades. A preset is a function, checked once and frozen
 * after. Times are milliseconds on the node's own monotonic clock.
 */
import { GossipError } from './errors.ts'

export interface GossipConfig {
  // -- the core: failure detection ------------------------------------------------------------------------------
  /** One direct probe per interval. A member is probed by somebody every interval ÷ 1, whatever N. Cost ∝ 1/interval. */
  probeIntervalMs: number
  /** Silence after which k others are asked. × (awareness + 1). Shorter asks for help at every hiccup. */
  probeTimeoutMs: number
  /** Silence, indirect answers included, after which the target is accused. × (awareness + 1). ≥ 2 × probeTimeoutMs. */
  probeDeadlineMs: number
  /** k, the members asked for an indirect probe. More survive more lossy paths and cost k messages per failure. */
  indirectProbes: number
  /** Ceiling of Lifeguard's local health; its timeouts grow up to (this + 1)-fold. Higher forgives a slow self longer. */
  awarenessMax: number
  /** Time to refute once enough accusers agree. Must exceed the longest stall to be tolerated. */
  suspicionMinMs: number
  /** Maximum suspicion = this × suspicionMinMs: what a lone accuser must wait. Larger makes one broken link harmless. */
  suspicionMaxFactor: number
  /** Independent accusers needed before the maximum; min(this, eligible). */
  accusersWanted: number
  /** How much of the age of somebody else's suspicion counts; bounds what a liar can shorten. ≥ spread time of a rumour. */
  suspicionCreditMs: number
  /** A newcomer that we only heard of is not probed for this long: our connection to it is still being made. */
  introductionMs: number
  /** A tick later than this shifts all deadlines, so that answers already in the socket's queue come first. */
  lateToleranceMs: number
  /** After an own stall of more than suspicionMinMs/2: accuse nobody until an exchange succeeds or this has passed. */
  unsureMs: number
  /** A dead or departed member is forgotten after this. Its address is dialled on. Shorter saves memory, loses names. */
  forgetAfterMs: number
  /** The dead are no longer passed on for this long before they are forgotten, or views would hand them back. */
  forgetQuietMs: number
  // -- the core: bounds -----------------------------------------------------------------------------------------
  /** Members beyond this are not admitted. */
  membersMax: number
  /** Digest entries in one message; above it a random subset travels, so that cost stays flat as N grows. */
  digestEntriesMax: number
  /** Bytes of records that may ride on a probe's answer; the rest goes on the bulk stream. */
  probeDeltaBytesMax: number
  /** Bytes of records in one bulk message; the rest waits for the next exchange. */
  bulkDeltaBytesMax: number
  /** Members told at once about an accusation, a death or a refutation; the others hear with the next exchanges. */
  urgentFanout: number
  /** Accusations accepted per accuser and second. ≥ members on one failing switch. */
  accusationsPerSecondMax: number
  // -- the shell ------------------------------------------------------------------------------------------------
  /** Up to this many members every pair keeps a connection; above it, connections are made when needed. */
  meshMembersMax: number
  /** A link that owes an answer and is silent for this long is aborted and redialled: TCP may wait out backed-off timers. */
  silentStreamMs: number
  /** TCP, key exchange and stream negotiation together. > 1 s lets a lost SYN be repeated. */
  dialTimeoutMs: number
  /** Backoff of the redial loop: min·2^failures up to max, ±20 %. max bounds the time to find a healed partition. */
  redialMinMs: number
  redialMaxMs: number
  /** How long `stop(true)` waits until the others confirm that they heard. */
  leaveTimeoutMs: number
  /** One `stranger` event per address in this time. */
  strangerEveryMs: number
  /** Open connections, all peers together. */
  connectionsMax: number
  /** Longest frame that is read or written. */
  frameBytesMax: number
}

/** A local network: round trips below 10 ms, stalls of 500 ms forgiven, silence noticed in 1.4 to 1.9 s at five nodes. */
export function lanConfig(changes: Partial<GossipConfig> = {}): Readonly<GossipConfig> {
  const config: GossipConfig = {
    probeIntervalMs: 200,
    probeTimeoutMs: 100,
    probeDeadlineMs: 200,
    indirectProbes: 3,
    awarenessMax: 4,
    suspicionMinMs: 1_200,
    suspicionMaxFactor: 4,
    accusersWanted: 2,
    suspicionCreditMs: 400,
    introductionMs: 1_500,
    lateToleranceMs: 50,
    unsureMs: 2_000,
    forgetAfterMs: 3_600_000,
    forgetQuietMs: 60_000,
    membersMax: 1_024,
    digestEntriesMax: 64,
    probeDeltaBytesMax: 8_192,
    bulkDeltaBytesMax: 65_536,
    urgentFanout: 8,
    accusationsPerSecondMax: 64,
    meshMembersMax: 64,
    silentStreamMs: 600,
    dialTimeoutMs: 1_500,
    redialMinMs: 100,
    redialMaxMs: 2_000,
    leaveTimeoutMs: 1_000,
    strangerEveryMs: 60_000,
    connectionsMax: 512,
    frameBytesMax: 131_072,
    ...changes,
  }
  check(config)
  return Object.freeze(config)
}

function check(config: GossipConfig): void {
  for (const [key, value] of Object.entries(config)) {
    if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
      throw invalid(`gossip ${key} is ${String(value)}`, `Set ${key} to a number that is not negative.`)
    }
  }
  if (config.probeIntervalMs < 10) throw invalid('gossip probeIntervalMs is below 10', 'Set it to 10 ms or more.')
  if (config.probeDeadlineMs < 2 * config.probeTimeoutMs) {
    throw invalid('gossip probeDeadlineMs leaves indirect probes no time', 'Set it to at least twice probeTimeoutMs.')
  }
  if (config.suspicionMinMs < 2 * config.probeDeadlineMs) {
    throw invalid('gossip suspicionMinMs leaves no time to refute', 'Set it to at least twice probeDeadlineMs.')
  }
  if (config.suspicionMaxFactor < 1) throw invalid('gossip suspicionMaxFactor is below 1', 'Set it to 1 or more.')
  if (config.accusersWanted < 1) throw invalid('gossip accusersWanted is below 1', 'Set it to 1 or more.')
  if (config.bulkDeltaBytesMax * 1.5 > config.frameBytesMax) {
    throw invalid('gossip frameBytesMax is too small for bulkDeltaBytesMax', 'Leave room for half as much again.')
  }
}

function invalid(message: string, remedy: string): GossipError {
  return new GossipError('E_GOSSIP_CONFIG', message, remedy)
}
