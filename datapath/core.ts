/**
 * The rewriting core: (packet, origin, now) → verdict. No I/O, no clock, no allocation per packet; the same class runs
 * in the engine's worker, in the tests and in the fuzzer. Bestavros et al. 1998, section 3, "Stateful Approach".
 *
 *   malformed ───────────────▶ drop, counted by reason
 *   IPIP to us ──────────────▶ strip if a member sent it for a published address, then origin = member
 *   origin member ───────────▶ local, never redirected again
 *   known flow ──────────────▶ where it went before, always
 *   SYN ─▶ active < limit? ──▶ local, else the next slot of the ring
 *   orphan ──────────────────▶ as the snapshot says for that address
 *
 * The result lies in the fields `member`, `reason`, `stripped` and `view`, valid until the next packet.
 */
import { COUNTER, DROP, type SharedCounters } from './counters.ts'
import * as flow from './flow-table.ts'
import { FragmentTable } from './fragments.ts'
import { transportValid } from './packet/checksum.ts'
import { IcmpQuote } from './packet/icmp-quote.ts'
import { propagateEcn } from './packet/ipip.ts'
import * as ip from './packet/ipv4-view.ts'
import { EXISTING_FORWARD, MODE_IPIP, MODE_MAC, MODE_SELF, NO_TABLE, ORPHANS_HOLD, Routing } from './routing.ts'
import { sipHash4, type SipKey } from './siphash.ts'
import type { Snapshot, SnapshotTable } from './snapshot.ts'

export const VERDICT_LOCAL = 1
export const VERDICT_MAC = 2
export const VERDICT_IPIP = 3
export const VERDICT_DROP = 4
/** Dropped silently, because the client will retransmit and a RST would kill its connection. */
export const VERDICT_HOLD = 5

/** Half-open flows count towards the limit up to this share of it: a SYN flood must not look like load. */
const YOUNG_SHARE = 0.1
const FRAGMENT_SLOTS = 1_024
const FRAGMENT_MS = 2_000
/**
 * A client's FIN or RST carries the sequence that it would send next; what is farther off is blind, and the
 * destination's kernel ignores it too (RFC 5961, 3). Bytes; lost packets of the client make a gap of this size at most.
 */
const SEQUENCE_WINDOW = 65_536
/** A flow that was placed without an entry may live this long; so long orphans are looked for where it went. */
const PRESSURE_MS = flow.FLOW_TIMEOUT_MS[flow.ESTABLISHED]!
/** Recent SYNs of stateless tables, to count a flow once and not per retransmission. */
const RECENT_SYNS = 4_096
/** Only SYN (without ACK) opens a flow. */
const SYN_MASK = ip.TCP_SYN | ip.TCP_ACK

export interface CoreOptions {
  flowTableEntries: number
  key: SipKey
  /** Addresses of this host at which IPIP ends. */
  ownAddresses: readonly number[]
  shared: SharedCounters
}

export class RewritingCore implements flow.FlowListener {
  readonly flows: flow.FlowTable
  readonly routing = new Routing()
  readonly view = new ip.Ipv4View()
  /** Member index of the verdicts `mac` and `ipip`. */
  member = 0
  /** Counter index of the verdict `drop`. */
  reason = 0
  /** Bytes of outer header that were in front of the packet in `view`; 0 if it came bare. */
  stripped = 0
  /** Whether the control plane is alive; set by the engine before each batch. */
  leaseFresh = true

  readonly #values: Float64Array
  readonly #flowsByMember: Uint32Array
  readonly #fragments: FragmentTable
  readonly #quote = new IcmpQuote()
  readonly #key: SipKey
  readonly #own: ReadonlySet<number>
  readonly #recentSyns = new Int32Array(RECENT_SYNS)
  #localEstablished = 0
  #localYoung = 0
  #pressureUntilMs = -Infinity

  constructor(options: CoreOptions) {
    this.#values = options.shared.values
    this.#flowsByMember = options.shared.flowsByMember
    this.#key = options.key
    this.#own = new Set(options.ownAddresses)
    this.flows = new flow.FlowTable(options.flowTableEntries, options.key, this)
    this.#fragments = new FragmentTable(FRAGMENT_SLOTS, FRAGMENT_MS, options.key)
  }

  /** Switches to a newer snapshot; an older or equal one is ignored. */
  publish(snapshot: Snapshot, nowMs: number): void {
    if (snapshot.version <= this.routing.version) return
    for (const [index, member] of snapshot.members.entries()) {
      // The index has another holder now; flows of the one before count for nobody.
      if (member !== undefined && this.routing.generation[index] !== member.generation) this.#flowsByMember[index] = 0
    }
    this.routing.load(snapshot, nowMs)
    this.#values[COUNTER.snapshotVersion] = snapshot.version
  }

  /** The kernel's socket table is the truth about flows that end here; the flow table bridges the time between. */
  correctLocalEstablished(count: number): void {
    this.#localEstablished = count
  }

  /** Established local flows plus young half-open ones, these capped relative to the limit. */
  activeFlows(localLimit: number): number {
    const youngMax = Number.isFinite(localLimit) ? Math.ceil(localLimit * YOUNG_SHARE) : Infinity
    return this.#localEstablished + Math.min(this.#localYoung, youngMax)
  }

  moved(entry: number, from: number, to: number): void {
    const destination = this.flows.destination[entry]!
    const established = (to === flow.ESTABLISHED ? 1 : 0) - (from === flow.ESTABLISHED ? 1 : 0)
    if (destination === flow.LOCAL) {
      this.#localYoung += (to === flow.YOUNG ? 1 : 0) - (from === flow.YOUNG ? 1 : 0)
      this.#localEstablished = Math.max(0, this.#localEstablished + established)
    } else if (this.routing.generation[destination] === this.flows.generation[entry]) {
      this.#flowsByMember[destination] = this.#flowsByMember[destination]! + established
    }
  }

  /** Housekeeping between batches: expiry and the figures that are not counted packet by packet. */
  tick(nowMs: number): void {
    this.flows.expire(nowMs)
    const limit = this.routing.tables[0]?.localLimit ?? Infinity
    this.#values[COUNTER.activeFlows] = this.activeFlows(limit)
    this.#values[COUNTER.flowEntries] = this.flows.entries
    this.#values[COUNTER.halfOpenEvicted] = this.flows.evicted
  }

  /**
   * Decides about one packet and counts it.
   * @param offset where its IP header starts in `bytes`
   * @param available bytes from there on
   * @param fromMember whether the frame's source MAC is a member's
   * @param checksumKnown whether somebody has verified, or will complete, its transport checksum
   */
  decide(
    bytes: Uint8Array,
    offset: number,
    available: number,
    fromMember: boolean,
    checksumKnown: boolean,
    nowMs: number,
  ): number {
    this.stripped = 0
    const verdict = this.#decide(bytes, offset, available, fromMember, checksumKnown, nowMs)
    const values = this.#values
    if (verdict === VERDICT_DROP) values[this.reason]!++
    else if (verdict === VERDICT_LOCAL) values[COUNTER.packetsLocal]!++
    else if (verdict === VERDICT_HOLD) values[COUNTER.packetsHeld]!++
    else if (verdict === VERDICT_MAC) values[COUNTER.packetsMac]!++
    else values[COUNTER.packetsIpip]!++
    return verdict
  }

  #decide(
    bytes: Uint8Array,
    offset: number,
    available: number,
    fromMember: boolean,
    checksumKnown: boolean,
    nowMs: number,
  ): number {
    const view = this.view
    let reason = view.parse(bytes, offset, available)
    if (reason !== 0) return this.#drop(reason)
    let origin = fromMember
    if (view.protocol === ip.PROTOCOL_IPIP && this.#own.has(view.destination)) {
      reason = this.#decapsulate(bytes, nowMs)
      if (reason !== 0) return this.#drop(reason)
      this.#values[COUNTER.packetsDecapsulated]!++
      origin = true
    } else if (isNoClient(view.source)) {
      return this.#drop(DROP['ip-source'])
    }
    const orphans = this.routing.orphansOf(view.destination)
    if (orphans === undefined) return VERDICT_LOCAL
    if (view.fragmentOffset > 0) return this.#laterFragment(origin, nowMs)
    let verdict: number
    if (view.protocol === ip.PROTOCOL_TCP) verdict = this.#tcp(bytes, origin, checksumKnown, orphans, nowMs)
    else if (view.protocol === ip.PROTOCOL_ICMP) verdict = this.#icmp(bytes, origin)
    else verdict = VERDICT_LOCAL
    if (view.moreFragments) this.#rememberFragment(verdict, nowMs)
    return verdict
  }

  #drop(reason: number): number {
    this.reason = reason
    return VERDICT_DROP
  }

  // ── TCP ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #tcp(bytes: Uint8Array, origin: boolean, checksumKnown: boolean, orphans: number, nowMs: number): number {
    const view = this.view
    const routing = this.routing
    const tableIndex = routing.tableOfPort[view.destinationPort]!
    if (tableIndex === NO_TABLE) return VERDICT_LOCAL
    // Only packets that change state are verified here; the destination's kernel verifies all of them.
    const changesState = (view.flags & (ip.TCP_SYN | ip.TCP_FIN | ip.TCP_RST)) !== 0
    if (changesState && !checksumKnown && !view.moreFragments) {
      const segmentBytes = view.totalBytes - view.headerBytes
      if (!transportValid(bytes, view.offset, view.headerBytes, ip.PROTOCOL_TCP, segmentBytes)) {
        return this.#drop(DROP['tcp-checksum'])
      }
    }
    const table = routing.tables[tableIndex]!
    const ports = ((view.sourcePort << 16) | view.destinationPort) >>> 0
    const hash = this.flows.hashOf(view.source, view.destination, ports, ip.PROTOCOL_TCP)
    const entry = this.flows.find(hash, view.source, view.destination, ports, ip.PROTOCOL_TCP)
    const syn = (view.flags & SYN_MASK) === ip.TCP_SYN
    if (table.stateless && !origin) return this.#stateless(table, hash, ports, entry, syn, nowMs)
    if (origin && entry >= 0 && this.flows.destination[entry] !== flow.LOCAL) {
      // A member sends us what we would send elsewhere: two views disagree, and following ours could make a circle.
      if (!syn) return this.#drop(DROP.loop)
      this.flows.remove(entry)
      return this.#newFlow(table, tableIndex, hash, ports, origin, false, nowMs)
    }
    let again = false
    if (entry >= 0) {
      if (!syn) return this.#known(entry, nowMs)
      if (!this.#startsAnew(entry)) {
        this.flows.touch(entry, nowMs)
        return this.#towards(this.flows.destination[entry]!)
      }
      again = this.flows.state[entry]! <= flow.HALF_OPEN && this.flows.initialSequence[entry] === view.sequence
      this.flows.remove(entry)
    }
    if (syn) return this.#newFlow(table, tableIndex, hash, ports, origin, again, nowMs)
    if (origin) {
      // The rewriter believes that this flow ends here; its entry was lost, with the daemon that held it, say.
      const state = (view.flags & ip.TCP_RST) !== 0 ? flow.RST : flow.ESTABLISHED
      this.#insertLocal(hash, ports, state, nowMs)
      return VERDICT_LOCAL
    }
    if (this.flows.full || nowMs < this.#pressureUntilMs) return this.#byFallback(table, hash)
    if (orphans === ORPHANS_HOLD) {
      this.#values[COUNTER.orphansHeld]!++
      return VERDICT_HOLD
    }
    this.#values[COUNTER.orphansLocal]!++
    return VERDICT_LOCAL
  }

  /** Whether a SYN that meets an entry opens a new flow instead of repeating the old one. */
  #startsAnew(entry: number): boolean {
    const state = this.flows.state[entry]!
    if (state === flow.FIN || state === flow.RST) return true
    const destination = this.flows.destination[entry]!
    const halfOpen = state === flow.YOUNG || state === flow.HALF_OPEN
    if (halfOpen && this.flows.initialSequence[entry] !== this.view.sequence) return true
    if (destination === flow.LOCAL) return false
    // A retransmitted SYN stays with its destination while that may serve; an established flow stays anyway, unless
    // its destination is gone or given up.
    if (!this.#holdsGeneration(entry)) return true
    return halfOpen ? this.routing.eligible[destination] === 0 : this.routing.existing[destination] !== EXISTING_FORWARD
  }

  #holdsGeneration(entry: number): boolean {
    const destination = this.flows.destination[entry]!
    return (
      this.routing.present[destination] === 1 && this.routing.generation[destination] === this.flows.generation[entry]
    )
  }

  #known(entry: number, nowMs: number): number {
    const flows = this.flows
    const view = this.view
    const destination = flows.destination[entry]!
    if (destination !== flow.LOCAL) {
      if (!this.#holdsGeneration(entry)) return this.#drop(DROP['destination-gone'])
      if (this.routing.existing[destination] !== EXISTING_FORWARD) return VERDICT_HOLD
    }
    const state = flows.state[entry]!
    const ends = (view.flags & (ip.TCP_RST | ip.TCP_FIN)) !== 0
    if (ends && !this.#isNext(entry)) return this.#towards(destination)
    if (!ends || (view.flags & ip.TCP_FIN) !== 0) {
      flows.nextSequence[entry] = (view.sequence + view.tcpPayloadBytes) >>> 0
    }
    if ((view.flags & ip.TCP_RST) !== 0) {
      if (state !== flow.RST) flows.setState(entry, flow.RST, nowMs)
    } else if ((view.flags & ip.TCP_FIN) !== 0) {
      if (state !== flow.FIN) flows.setState(entry, flow.FIN, nowMs)
      else flows.touch(entry, nowMs)
    } else if (state === flow.ESTABLISHED) {
      flows.touch(entry, nowMs)
    } else if (state === flow.FIN && view.tcpPayloadBytes === 0) {
      // Half-closed: the client only acknowledges what the server still sends.
      flows.touch(entry, nowMs)
    } else {
      // The handshake's last ACK; or data after a FIN or RST that was not the end, a blind RST must not unseat a flow.
      flows.setState(entry, flow.ESTABLISHED, nowMs)
    }
    return this.#towards(destination)
  }

  /** Whether a FIN or RST has a sequence that the client would use; a segment's own payload comes before its FIN. */
  #isNext(entry: number): boolean {
    // An entry that was handed over, not opened here, has seen no packet yet.
    if (this.flows.nextSequence[entry] === 0) return true
    const ahead = (this.view.sequence - this.flows.nextSequence[entry]! + SEQUENCE_WINDOW) >>> 0
    return ahead <= 2 * SEQUENCE_WINDOW
  }

  /** @param again whether this SYN was counted before, when its flow went elsewhere */
  #newFlow(
    table: SnapshotTable,
    tableIndex: number,
    hash: number,
    ports: number,
    origin: boolean,
    again: boolean,
    nowMs: number,
  ): number {
    const values = this.#values
    const counted = again ? 0 : 1
    if (origin) {
      values[COUNTER.flowsReceived]! += counted
      this.#insertLocal(hash, ports, flow.YOUNG, nowMs)
      return VERDICT_LOCAL
    }
    if (this.flows.full) {
      this.#pressureUntilMs = nowMs + PRESSURE_MS
      const verdict = this.#byFallback(table, hash)
      const name = verdict === VERDICT_LOCAL ? COUNTER.flowsLocal : COUNTER.flowsRedirected
      if (this.#firstSyn(hash)) values[name]!++
      return verdict
    }
    const destination = this.#place(table, tableIndex)
    if (destination === flow.LOCAL) {
      values[COUNTER.flowsLocal]! += counted
      this.#insertLocal(hash, ports, flow.YOUNG, nowMs)
      return VERDICT_LOCAL
    }
    const generation = this.routing.generation[destination]!
    const view = this.view
    const entry = this.flows.insert(
      hash,
      view.source,
      view.destination,
      ports,
      ip.PROTOCOL_TCP,
      flow.YOUNG,
      destination,
      generation,
      nowMs,
    )
    this.flows.initialSequence[entry] = view.sequence
    this.flows.nextSequence[entry] = view.sequence + 1
    values[COUNTER.flowsRedirected]! += counted
    return this.#towards(destination)
  }

  /** The paper's decision, at the moment the request arrives. */
  #place(table: SnapshotTable, tableIndex: number): number {
    if (!this.leaseFresh) {
      this.#values[COUNTER.leaseExpired]!++
      return flow.LOCAL
    }
    const { localLimit, ring } = table
    if (ring.length === 0 || this.activeFlows(localLimit) < localLimit) return flow.LOCAL
    const cursors = this.routing.cursors
    const cursor = cursors[tableIndex]!
    cursors[tableIndex] = cursor + 1
    const destination = ring[cursor % ring.length]!
    return destination === this.routing.self || this.routing.present[destination] === 0 ? flow.LOCAL : destination
  }

  #insertLocal(hash: number, ports: number, state: number, nowMs: number): void {
    const view = this.view
    const { source, destination, sequence } = view
    const entry = this.flows.insert(hash, source, destination, ports, ip.PROTOCOL_TCP, state, flow.LOCAL, 0, nowMs)
    if (entry < 0) return
    this.flows.initialSequence[entry] = sequence
    this.flows.nextSequence[entry] = sequence + 1
  }

  /** The table is full: the stable Maglev table places new flows, and finds them again without an entry. */
  #byFallback(table: SnapshotTable, hash: number): number {
    this.#values[COUNTER.tablePressure]!++
    if (table.fallback.length === 0) return VERDICT_LOCAL
    return this.#towards(table.fallback[(hash >>> 0) % table.fallback.length]!)
  }

  /**
   * The paper's stateless variant: slot = hash(client address, port). The flow table only follows flows that end here,
   * to know how many they are.
   */
  #stateless(table: SnapshotTable, hash: number, ports: number, entry: number, syn: boolean, nowMs: number): number {
    const view = this.view
    // Whether or not the control plane lives: without entries, keeping new flows here would take the old ones along.
    if (table.ring.length === 0) return VERDICT_LOCAL
    const slot = (sipHash4(this.#key, view.source, view.sourcePort, 0, 0) >>> 0) % table.ring.length
    const destination = table.ring[slot]!
    const local = destination === this.routing.self
    if (syn && this.#firstSyn(hash)) this.#values[local ? COUNTER.flowsLocal : COUNTER.flowsRedirected]!++
    if (!local) {
      if (this.routing.existing[destination] !== EXISTING_FORWARD) return VERDICT_HOLD
      return this.#towards(destination)
    }
    if (entry >= 0 && !syn) return this.#known(entry, nowMs)
    if (entry >= 0 && this.#startsAnew(entry)) {
      this.flows.remove(entry)
      this.#insertLocal(hash, ports, flow.YOUNG, nowMs)
    } else if (entry < 0 && syn) {
      this.#insertLocal(hash, ports, flow.YOUNG, nowMs)
    }
    return VERDICT_LOCAL
  }

  #firstSyn(hash: number): boolean {
    const mark = hash ^ this.view.sequence
    const slot = (hash >>> 0) % RECENT_SYNS
    if (this.#recentSyns[slot] === mark) return false
    this.#recentSyns[slot] = mark
    return true
  }

  #towards(destination: number): number {
    if (destination === flow.LOCAL || destination === this.routing.self) return VERDICT_LOCAL
    const mode = this.routing.mode[destination]
    this.member = destination
    if (mode === MODE_MAC) return VERDICT_MAC
    if (mode === MODE_IPIP) {
      // RFC 2003, 3.1: encapsulating is forwarding, and forwarding needs a hop.
      return this.view.ttl <= 1 ? this.#drop(DROP['ip-ttl']) : VERDICT_IPIP
    }
    return mode === MODE_SELF ? VERDICT_LOCAL : this.#drop(DROP['destination-gone'])
  }

  // ── IPIP, fragments, ICMP ──────────────────────────────────────────────────────────────────────────────────────

  /**
   * Strips the outer header, or says why not: otherwise any stranger could inject packets behind a firewall.
   * @returns 0 or a drop reason; the view then shows the inner packet
   */
  #decapsulate(bytes: Uint8Array, nowMs: number): number {
    const view = this.view
    if (!this.routing.isMemberAddress(view.source, nowMs)) return DROP['ipip-stranger']
    if (view.moreFragments || view.fragmentOffset > 0) return DROP['ipip-fragment']
    const outerBytes = view.headerBytes
    const outerTos = view.tos
    const innerOffset = view.offset + outerBytes
    const reason = view.parse(bytes, innerOffset, view.totalBytes - outerBytes)
    if (reason !== 0) return reason
    if (this.routing.orphansOf(view.destination) === undefined) return DROP['ipip-inner-destination']
    if (
      isNoClient(view.source) ||
      this.#own.has(view.source) ||
      this.routing.orphansOf(view.source) !== undefined ||
      this.routing.isMemberAddress(view.source, nowMs)
    ) {
      return DROP['ipip-inner-source']
    }
    const service = this.routing.tableOfPort[view.destinationPort] !== NO_TABLE
    const carried =
      view.fragmentOffset > 0 ||
      (view.protocol === ip.PROTOCOL_TCP && service) ||
      (view.protocol === ip.PROTOCOL_ICMP && this.#quotesService(bytes))
    if (!carried) return DROP['ipip-inner-protocol']
    if (!propagateEcn(bytes, outerTos, innerOffset)) return DROP['ipip-ecn']
    this.stripped = outerBytes
    return 0
  }

  #laterFragment(origin: boolean, nowMs: number): number {
    const view = this.view
    const where = this.#fragments.find(view.source, view.destination, view.id, view.protocol, nowMs)
    if (where < 0) return this.#drop(DROP['fragment-early'])
    if (origin && where !== flow.LOCAL) return this.#drop(DROP.loop)
    return this.#towards(where)
  }

  #rememberFragment(verdict: number, nowMs: number): void {
    if (verdict === VERDICT_DROP || verdict === VERDICT_HOLD) return
    const view = this.view
    const where = verdict === VERDICT_LOCAL ? flow.LOCAL : this.member
    this.#fragments.remember(view.source, view.destination, view.id, view.protocol, where, nowMs)
  }

  /** An ICMP error follows the flow that it quotes (RFC 792); everything else of ICMP is answered here. */
  #icmp(bytes: Uint8Array, origin: boolean): number {
    const view = this.view
    if (view.totalBytes - view.headerBytes < 8) return this.#drop(DROP['icmp-truncated'])
    if (origin || !this.#quotesService(bytes)) return VERDICT_LOCAL
    const { client, clientPort, publishedPort } = this.#quote
    const ports = ((clientPort << 16) | publishedPort) >>> 0
    const hash = this.flows.hashOf(client, view.destination, ports, ip.PROTOCOL_TCP)
    const entry = this.flows.find(hash, client, view.destination, ports, ip.PROTOCOL_TCP)
    if (entry >= 0) {
      const destination = this.flows.destination[entry]!
      if (destination === flow.LOCAL) return VERDICT_LOCAL
      if (!this.#holdsGeneration(entry)) return this.#drop(DROP['destination-gone'])
      return this.#towards(destination)
    }
    const table = this.routing.tables[this.routing.tableOfPort[publishedPort]!]
    if (table === undefined || !table.stateless || table.ring.length === 0) return VERDICT_LOCAL
    return this.#towards(table.ring[(sipHash4(this.#key, client, clientPort, 0, 0) >>> 0) % table.ring.length]!)
  }

  /** Whether an ICMP packet is an error about a flow of a service of ours, which `#quote` then names. */
  #quotesService(bytes: Uint8Array): boolean {
    return this.#quote.read(bytes, this.view) && this.routing.tableOfPort[this.#quote.publishedPort] !== NO_TABLE
  }
}

/** Addresses that no client has: this network, loopback, multicast, reserved, broadcast (RFC 1122, 3.2.1.3). */
function isNoClient(address: number): boolean {
  const first = address >>> 24
  return first === 0 || first === 127 || first >= 224
}
