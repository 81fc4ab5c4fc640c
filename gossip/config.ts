/**
 * Every knob of membership, with its formula and what it trades. A preset is a function, checked once and frozen
 * after. Times are milliseconds on the node's own monotonic clock.
 */
import { ACCUSATIONS_KEPT_MAX } from './accusations.ts'
import { GossipError } from './errors.ts'
import { DIGEST_MAX } from './messages.ts'
import { RINGS_MAX } from './overlay.ts'

export interface GossipConfig {
  // -- the core: failure detection ------------------------------------------------------------------------------
  /** One direct probe per interval; a member is probed by somebody about as often, whatever N. Cost ∝ 1/interval. */
  probeIntervalMs: number
  /** Silence after which k others are asked. × (awareness + 1). Shorter asks for help at every hiccup. */
  probeTimeoutMs: number
  /**
   * Silence after which the target is accused, if k others say that they did not reach it either. × (awareness + 1).
   * ≥ 2 × probeTimeoutMs, and above TCP's least retransmission timeout (200 ms on Linux) by a round trip or more, so that
   * one lost segment accuses nobody. A helper takes 0.85 of it before it says so.
   */
  probeDeadlineMs: number
  /**
   * Silence after which the target is accused whatever others say, or do not. ≥ probeDeadlineMs + probeTimeoutMs, and above
   * two retransmissions in a row (200 + 400 ms on Linux). What two nodes alone, and helpers that must be dialled, wait for.
   */
  probeFinalMs: number
  /** k, the members asked for an indirect probe, and once more as many. More survive more lossy paths, and cost messages. */
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
  /**
   * A newcomer that we only heard of is not probed for this long, unless a dial to it fails: our connection to it is still
   * being made, which takes up to handshakeTimeoutMs where many start at once. Those who have met it look after it.
   */
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
  /** Digest entries in one message; above it what changed last and a part of the rest in turn: cost flat as N grows. */
  digestEntriesMax: number
  /** Bytes of records that may ride on a probe's answer; the rest goes on the bulk stream. */
  probeDeltaBytesMax: number
  /** Bytes of records in one bulk message; the rest waits for the next exchange. */
  bulkDeltaBytesMax: number
  /** Bytes of load reports in one ping or ack; the youngest go first. */
  reportBytesMax: number
  /** A node's own report gets a new version at most this often. Shorter is fresher, and costs everybody 1/this. */
  reportIntervalMs: number
  /** Neighbours told by whoever has urgent news of its own. More survive more silent links. */
  urgentFanout: number
  /** Neighbours to whom news of others is passed on; reaches s = 1 − e^(−this·s) of all, 94 % for 3. Cost ∝ this × N. */
  forwardFanout: number
  /** News gathers for this long, then travels together. Adds to every hop. */
  urgentDelayMs: number
  /** News about one member passed on per second, and about all of them. The rest is left to the digests. */
  newsPerMemberMax: number
  newsMax: number
  /** Accusations accepted per accuser and second. ≥ members on one failing switch. */
  accusationsPerSecondMax: number
  // -- the overlay ----------------------------------------------------------------------------------------------
  /** Up to this many members everybody is everybody's neighbour; above it, the rings decide (overlay.ts). */
  meshMembersMax: number
  /** K: above the mesh a member has at most 2K neighbours. More survive more deaths at once and cost more connections. */
  overlayRings: number
  // -- the shell ------------------------------------------------------------------------------------------------
  /**
   * A link that owes an answer and is silent for this long is replaced: TCP may wait out backed-off timers. The old one
   * is given up when the new one is there, or after twice as long again.
   */
  silentStreamMs: number
  /** TCP alone. > 1 s lets a lost SYN be repeated. */
  dialTimeoutMs: number
  /**
   * Key exchange and stream negotiation, from the TCP connection on. ≫ 20 ms of CPU at both ends × connections under way ÷
   * share of a core: given up before its turn has come, a handshake is work thrown away, and the next one comes too late
   * again. Longer keeps an address waiting whose host froze or was cut off within the handshake.
   */
  handshakeTimeoutMs: number
  /** A dial without an outcome for this long is joined by a second one: a lost SYN costs 1 s. ≫ a handshake, 50 ms. */
  dialHedgeMs: number
  /** Second dials, per second: on a busy host every handshake is slow, and more of them are no remedy. */
  hedgesPerSecondMax: number
  /** Backoff of the redial loop: min·2^failures up to max, ±20 %. max bounds the time to find a healed partition. */
  redialMinMs: number
  redialMaxMs: number
  /** Dials per second to addresses where nobody is known to live, all together. Bounds what many dead members cost. */
  redialsPerSecondMax: number
  /** Dials under way to members that a link is wanted to, and as many again to addresses where nobody is known to live. */
  dialsMax: number
  /** A link to no neighbour that carried nothing for this long is closed. ≫ the time between two uses of a helper. */
  linkIdleMs: number
  /** How long a message waits for the link that is made because of it. */
  pendingMs: number
  /** Frames taken from one peer, 4 KiB or part of it each; more are dropped, ten times more end its connections. */
  peerFramesPerSecondMax: number
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
  return checked({
    probeIntervalMs: 200,
    probeTimeoutMs: 100,
    probeDeadlineMs: 260,
    probeFinalMs: 760,
    indirectProbes: 3,
    awarenessMax: 4,
    suspicionMinMs: 1_200,
    suspicionMaxFactor: 4,
    accusersWanted: 2,
    suspicionCreditMs: 400,
    introductionMs: 10_000,
    lateToleranceMs: 50,
    unsureMs: 2_000,
    forgetAfterMs: 3_600_000,
    forgetQuietMs: 60_000,
    membersMax: 1_024,
    digestEntriesMax: 64,
    probeDeltaBytesMax: 8_192,
    bulkDeltaBytesMax: 65_536,
    reportBytesMax: 1_600,
    reportIntervalMs: 200,
    urgentFanout: 8,
    forwardFanout: 3,
    urgentDelayMs: 10,
    newsPerMemberMax: 16,
    newsMax: 256,
    accusationsPerSecondMax: 64,
    meshMembersMax: 64,
    overlayRings: 16,
    silentStreamMs: 600,
    dialTimeoutMs: 1_500,
    handshakeTimeoutMs: 10_000,
    dialHedgeMs: 300,
    hedgesPerSecondMax: 10,
    redialMinMs: 100,
    redialMaxMs: 2_000,
    redialsPerSecondMax: 10,
    dialsMax: 64,
    linkIdleMs: 15_000,
    pendingMs: 1_000,
    peerFramesPerSecondMax: 500,
    leaveTimeoutMs: 1_000,
    strangerEveryMs: 60_000,
    connectionsMax: 512,
    frameBytesMax: 131_072,
    ...changes,
  })
}

/**
 * Hosts in several places: round trips up to 200 ms, loss, stalls of 2 s forgiven, silence noticed in 7 to 12 s. Every
 * time is five times that of a local network, for a fifth of the traffic, but for those that follow from round trips:
 * timeout ≥ 2 round trips, deadline ≥ timeout + a round trip + a retransmission.
 */
export function wanConfig(changes: Partial<GossipConfig> = {}): Readonly<GossipConfig> {
  return lanConfig({
    probeIntervalMs: 1_000,
    probeTimeoutMs: 500,
    probeDeadlineMs: 1_500,
    probeFinalMs: 3_000,
    suspicionMinMs: 5_000,
    suspicionCreditMs: 2_000,
    introductionMs: 15_000,
    lateToleranceMs: 100,
    unsureMs: 5_000,
    reportIntervalMs: 1_000,
    urgentDelayMs: 50,
    silentStreamMs: 3_000,
    dialTimeoutMs: 5_000,
    handshakeTimeoutMs: 15_000,
    dialHedgeMs: 1_500,
    redialMinMs: 500,
    redialMaxMs: 10_000,
    pendingMs: 3_000,
    leaveTimeoutMs: 3_000,
    ...changes,
  })
}

function checked(config: GossipConfig): Readonly<GossipConfig> {
  check(config)
  return Object.freeze(config)
}

/** Counts: whole numbers within these bounds. */
const COUNTS: Partial<Record<keyof GossipConfig, readonly [min: number, max: number]>> = {
  indirectProbes: [0, 16],
  awarenessMax: [0, 32],
  accusersWanted: [1, ACCUSATIONS_KEPT_MAX],
  membersMax: [1, 65_536],
  digestEntriesMax: [1, DIGEST_MAX],
  urgentFanout: [1, 64],
  forwardFanout: [1, 32],
  newsPerMemberMax: [1, 10_000],
  newsMax: [1, 10_000],
  meshMembersMax: [1, 256],
  overlayRings: [2, RINGS_MAX],
}

function check(config: GossipConfig): void {
  for (const [key, value] of Object.entries(config)) {
    if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
      throw invalid(`gossip ${key} is ${String(value)}`, `Set ${key} to a number that is not negative.`)
    }
  }
  for (const [key, [min, max]] of Object.entries(COUNTS)) {
    const value = config[key as keyof GossipConfig]
    if (Number.isInteger(value) && value >= min && value <= max) continue
    throw invalid(`gossip ${key} is ${value}`, `Set ${key} to a whole number from ${min} to ${max}.`)
  }
  if (config.probeIntervalMs < 10) throw invalid('gossip probeIntervalMs is below 10', 'Set it to 10 ms or more.')
  if (config.probeDeadlineMs < 2 * config.probeTimeoutMs) {
    throw invalid('gossip probeDeadlineMs leaves indirect probes no time', 'Set it to at least twice probeTimeoutMs.')
  }
  if (config.probeFinalMs < config.probeDeadlineMs + config.probeTimeoutMs) {
    throw invalid('gossip probeFinalMs is too short', 'Set it to probeDeadlineMs + probeTimeoutMs or more.')
  }
  if (config.probeTimeoutMs < 1) throw invalid('gossip probeTimeoutMs is below 1', 'Set it to 1 ms or more.')
  if (config.suspicionMinMs < 2 * config.probeDeadlineMs) {
    throw invalid('gossip suspicionMinMs leaves no time to refute', 'Set it to at least twice probeDeadlineMs.')
  }
  if (config.suspicionMaxFactor < 1) throw invalid('gossip suspicionMaxFactor is below 1', 'Set it to 1 or more.')
  if (config.forgetQuietMs > config.forgetAfterMs) {
    throw invalid('gossip forgetQuietMs exceeds forgetAfterMs', 'Set it to a fraction of forgetAfterMs.')
  }
  if (config.reportBytesMax < REPORT_BYTES_LEAST || config.reportBytesMax > config.bulkDeltaBytesMax) {
    throw invalid('gossip reportBytesMax is out of range', 'Set it from 256 to bulkDeltaBytesMax.')
  }
  if (config.bulkDeltaBytesMax * 1.5 > config.frameBytesMax) {
    throw invalid('gossip frameBytesMax is too small for bulkDeltaBytesMax', 'Leave room for half as much again.')
  }
}

/** Room for a report of the longest kind, and one more. */
const REPORT_BYTES_LEAST = 256

function invalid(message: string, remedy: string): GossipError {
  return new GossipError('E_GOSSIP_CONFIG', message, remedy)
}
