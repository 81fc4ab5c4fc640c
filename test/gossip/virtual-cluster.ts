/**
 * A whole cluster from one seed: real cores, real encoding, simulated clock and network. Every input of a node passes
 * through `run`, which delays it while the node is paused; every message is serialised. Connections are modelled as far
 * as the cores see them: neighbours that can talk are connected, others when they have something to say, a killed daemon
 * refuses, a cut pair falls silent. A lost segment delays everything behind it, as in TCP.
 */
import { decodeMessage, encodeMessage } from '../../gossip/codec.ts'
import { lanConfig } from '../../gossip/config.ts'
import type { GossipConfig } from '../../gossip/config.ts'
import { GossipCore } from '../../gossip/core.ts'
import type { Output } from '../../gossip/core.ts'
import { readFacts } from '../../gossip/facts-signature.ts'
import type { FactsReader, SignedFacts } from '../../gossip/facts-signature.ts'
import { verifySignature } from '../../gossip/identity.ts'
import type { Signer, Verifier } from '../../gossip/identity.ts'
import type { Message } from '../../gossip/messages.ts'
import type { Member, MemberStatus, MembershipEvent, OwnFacts } from '../../gossip/types.ts'
import { VirtualClock } from '../../lab/simulate/virtual-clock.ts'
import { factsOf, seededRandom, signerOf } from './fixtures.ts'

export interface Host {
  index: number
  id: string
  core: GossipCore
  /** Daemon running and host up. */
  up: boolean
  pausedUntilMs: number
  /** A tick is scheduled for this time. */
  tickAtMs: number
  events: { atMs: number; event: MembershipEvent }[]
}

/** One way, ms. */
const LATENCY_MS = [0.2, 1.2] as const
/** From the end of a connection to the answer of the redial. */
const REDIAL_MS = 5
/** A frame that cannot be delivered is given up after this. */
const UNREACHABLE_MS = 1_000
/** TCP's least retransmission timeout. */
const RETRANSMIT_MS = 200
/** Ethernet, IP, TCP with timestamps, noise, yamux, frame; and a bare TCP acknowledgement. */
const FRAME_BYTES = 100
const ACKNOWLEDGEMENT_BYTES = 66
/** A cut pair notices again that it can talk after at most this. */
const REDIAL_LOOP_MS = 2_000

export class VirtualCluster {
  /** Of messages alone, and with what the wire adds to each. */
  bytes = 0
  wireBytes = 0
  messages = 0
  /** Share of segments lost. */
  loss = 0
  readonly hosts: Host[] = []
  readonly config: Readonly<GossipConfig>
  readonly random: () => number
  readonly #clock = new VirtualClock()
  readonly #signers: Signer[]
  readonly #verify: Verifier
  readonly #readFacts: FactsReader
  readonly #byId = new Map<string, Host>()
  readonly #cut = new Set<string>()
  readonly #connected = new Set<string>()
  /** When the last message of each direction of each pair arrives. */
  readonly #busyUntilMs = new Map<string, number>()

  constructor(seed: number, signers: Signer[], config: Partial<GossipConfig> = {}) {
    this.random = seededRandom(seed)
    this.#signers = signers
    this.config = lanConfig(config)
    // One verification of the same bytes stands for all: otherwise the simulation would do little else.
    const verified = new Map<string, boolean>()
    this.#verify = (id, bytes, signature) => {
      const key = `${id} ${Buffer.from(signature).toString('latin1')} ${Buffer.from(bytes).toString('latin1')}`
      const known = verified.get(key) ?? verifySignature(id, bytes, signature)
      if (verified.size < 10_000) verified.set(key, known)
      return known
    }
    const read = new Map<string, ReturnType<FactsReader>>()
    this.#readFacts = (signed) => {
      const key = Buffer.from(signed.signature).toString('latin1')
      const known = read.get(key)
      if (known?.ok && Buffer.compare(known.signed.bytes, signed.bytes) === 0) return known
      const verdict = readFacts(signed)
      if (read.size < 10_000) read.set(key, verdict)
      return verdict
    }
  }

  static async create(seed: number, size: number, config: Partial<GossipConfig> = {}): Promise<VirtualCluster> {
    const signers = await Promise.all(Array.from({ length: size }, (_, index) => signerOf(index)))
    return new VirtualCluster(seed, signers, config)
  }

  get nowMs(): number {
    return this.#clock.now()
  }

  /** Starts host 0, and all others at random moments of the first 100 ms; each dials host 0. */
  startAll(): void {
    this.start(0)
    for (let index = 1; index < this.#signers.length; index++) {
      this.start(index)
      this.at(this.nowMs + this.random() * 100, () => this.connect(index, 0))
    }
  }

  start(index: number, incarnation = 1): Host {
    const signer = this.#signers[index]!
    const core = new GossipCore({
      config: this.config,
      signer,
      verify: this.#verify,
      readFacts: this.#readFacts,
      facts: factsOf(index),
      software: 'test',
      incarnation,
      random: this.random,
      nowMs: this.nowMs,
    })
    const host: Host = { index, id: signer.id, core, up: true, pausedUntilMs: 0, tickAtMs: Infinity, events: [] }
    this.hosts[index] = host
    this.#byId.set(host.id, host)
    this.#schedule(host)
    return host
  }

  /** Starts all of them as if they had known each other for long. */
  startAcquainted(count = this.#signers.length): void {
    for (let index = 0; index < count; index++) this.start(index)
    const facts = this.hosts.map(({ core }) => introduction(core.connected(this.nowMs, this.host(0).id)))
    for (const host of this.hosts) {
      const others = facts.filter((_, index) => index !== host.index)
      this.#input(host, (core) => {
        return core.receive(this.nowMs, host.id, { type: 'push', delta: { facts: others, rumours: [] }, wants: [] })
      })
    }
  }

  host(index: number): Host {
    return this.hosts[index]!
  }

  /** Power cut: nothing answers, nothing is refused. */
  crash(index: number): void {
    this.host(index).up = false
    this.#dropConnections(index)
  }

  /** kill -9 of the daemon: its connections end at once, and dialling it again is refused. */
  killDaemon(index: number): void {
    this.crash(index)
    for (const peer of this.hosts) {
      if (peer.index === index || this.#cut.has(`${peer.index}>${index}`)) continue
      this.at(this.nowMs + this.#latency(), () =>
        this.#input(peer, (core) => core.closed(this.nowMs, this.host(index).id)),
      )
      this.at(this.nowMs + REDIAL_MS + this.#latency(), () =>
        this.#input(peer, (core) => core.refused(this.nowMs, this.host(index).id)),
      )
    }
  }

  /** The host does nothing for a while; what was to reach it waits. */
  pause(index: number, ms: number): void {
    this.host(index).pausedUntilMs = this.nowMs + ms
  }

  /** From `a` to `b` nothing passes. */
  cut(a: number, b: number): void {
    this.#cut.add(`${a}>${b}`)
    this.#connected.delete(pair(a, b))
  }

  heal(): void {
    this.#cut.clear()
    for (const a of this.hosts) {
      for (const b of this.hosts) {
        if (a.index < b.index)
          this.at(this.nowMs + this.random() * REDIAL_LOOP_MS, () => this.connect(a.index, b.index))
      }
    }
  }

  /** From `a` to `b` nothing passes, and neither notices: a switch that fails silently. */
  mute(a: number, b: number): void {
    this.#cut.add(`${a}>${b}`)
  }

  leave(index: number): void {
    this.#input(this.host(index), (core) => core.leave(this.nowMs))
  }

  setFacts(index: number, changes: Partial<OwnFacts>): void {
    this.#input(this.host(index), (core) => core.setFacts(this.nowMs, factsOf(index, changes)))
  }

  connect(a: number, b: number): void {
    const key = pair(a, b)
    if (this.#connected.has(key) || !this.hosts[a]?.up || !this.hosts[b]?.up) return
    if (this.#cut.has(`${a}>${b}`) || this.#cut.has(`${b}>${a}`)) return
    this.#connected.add(key)
    this.#input(this.host(a), (core) => core.connected(this.nowMs, this.host(b).id))
    this.#input(this.host(b), (core) => core.connected(this.nowMs, this.host(a).id))
  }

  at(atMs: number, run: () => void): void {
    this.#clock.at(atMs, run)
  }

  /** Runs until the condition holds (then true), or until `ms` have passed (then false). */
  run(ms: number, condition: () => boolean = () => false): boolean {
    let checkAtMs = -Infinity
    // Once per millisecond: some conditions look at every view.
    const isDone = (): boolean => {
      if (this.nowMs < checkAtMs) return false
      checkAtMs = this.nowMs + 1
      return condition()
    }
    return this.#clock.run(ms, isDone) || condition()
  }

  /** How `viewer` sees `subject`; undefined if it has never heard of it. */
  view(viewer: number, subject: number): Member | undefined {
    return this.host(viewer).core.member(this.nowMs, this.host(subject).id)
  }

  /** True if every host that is up sees the subject in this status (the subject itself left out). */
  allSee(subject: number, status: MemberStatus): boolean {
    return this.hosts.every((h) => !h.up || h.index === subject || this.view(h.index, subject)?.status === status)
  }

  converged(): boolean {
    const up = this.hosts.filter((h) => h.up)
    return up.length === this.#signers.length && up.every((h) => this.allSee(h.index, 'alive'))
  }

  /** Deaths pronounced so far, by anybody, of hosts that are up. */
  wrongDeaths(): string[] {
    return this.hosts.flatMap((h) =>
      h.events.flatMap(({ atMs, event }) =>
        event.type === 'status' && event.member.status === 'dead'
          ? [`${h.index} says ${event.member.facts.name} is dead at ${Math.round(atMs)}`]
          : [],
      ),
    )
  }

  #input(host: Host, act: (core: GossipCore) => Output[]): void {
    if (!host.up) return
    if (host.pausedUntilMs > this.nowMs) {
      this.at(host.pausedUntilMs, () => this.#input(host, act))
      return
    }
    for (const output of act(host.core)) this.#handle(host, output)
    this.#schedule(host)
  }

  #handle(host: Host, output: Output): void {
    if (output.type === 'event') {
      host.events.push({ atMs: this.nowMs, event: output.event })
      if (output.event.type === 'joined') {
        const other = this.#byId.get(output.event.member.facts.id)
        if (other !== undefined) this.at(this.nowMs + REDIAL_MS, () => this.#dialNeighbour(host, other))
      }
      return
    }
    const to = this.#byId.get(output.to)
    if (to === undefined) return
    if (this.#connected.has(pair(host.index, to.index))) this.#send(host, to, output.message)
    else if (this.#cut.has(`${host.index}>${to.index}`) || !to.up) {
      this.at(this.nowMs + UNREACHABLE_MS, () => this.#input(host, (core) => core.unreachable(this.nowMs, to.id)))
    } else {
      const { message } = output
      this.at(this.nowMs + REDIAL_MS, () => {
        this.connect(host.index, to.index)
        this.#send(host, to, message)
      })
    }
  }

  #dialNeighbour(host: Host, other: Host): void {
    if (host.core.isNeighbour(other.id)) this.connect(host.index, other.index)
  }

  #send(host: Host, to: Host, message: Message): void {
    const bytes = encodeMessage(message)
    this.messages++
    this.bytes += bytes.length
    // Every ack is acknowledged by itself, a ping's acknowledgement rides on the answer.
    this.wireBytes += bytes.length + FRAME_BYTES + (message.type === 'ping' ? 0 : ACKNOWLEDGEMENT_BYTES)
    if (!this.#canReach(host.index, to.index)) return
    this.at(this.#arrivalMs(host, to), () => {
      const verdict = decodeMessage(bytes)
      if (!verdict.ok) throw new Error(`a core sent what a core cannot read: ${verdict.reason}`)
      this.#input(to, (core) => core.receive(this.nowMs, host.id, verdict.message))
    })
  }

  #arrivalMs(host: Host, to: Host): number {
    let atMs = this.nowMs + this.#latency()
    if (this.loss === 0) return atMs
    for (let tries = 0; this.random() < this.loss && tries < 6; tries++) atMs += RETRANSMIT_MS * 2 ** tries
    const direction = `${host.index}>${to.index}`
    atMs = Math.max(atMs, this.#busyUntilMs.get(direction) ?? 0)
    this.#busyUntilMs.set(direction, atMs)
    return atMs
  }

  #schedule(host: Host): void {
    const atMs = host.core.nextTickMs
    if (atMs >= host.tickAtMs) return
    host.tickAtMs = atMs
    this.at(atMs, () => {
      if (host.tickAtMs !== atMs) return
      this.#input(host, (core) => {
        host.tickAtMs = Infinity
        return core.tick(this.nowMs)
      })
    })
  }

  #canReach(from: number, to: number): boolean {
    return this.host(to).up && !this.#cut.has(`${from}>${to}`)
  }

  #dropConnections(index: number): void {
    for (const other of this.hosts) this.#connected.delete(pair(index, other.index))
  }

  #latency(): number {
    return LATENCY_MS[0] + this.random() * (LATENCY_MS[1] - LATENCY_MS[0])
  }
}

function pair(a: number, b: number): string {
  return a < b ? `${a}-${b}` : `${b}-${a}`
}

function introduction(outputs: Output[]): SignedFacts {
  for (const output of outputs) {
    if (output.type === 'send' && output.message.type === 'ping') return output.message.delta.facts[0]!
  }
  throw new Error('a core greets nobody')
}
