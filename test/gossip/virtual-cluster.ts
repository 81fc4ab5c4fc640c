/**
 * A whole cluster from one seed: real cores, real encoding, simulated clock and network. Every input of a node passes
 * through `run`, which delays it while the node is paused; every message is serialised. Connections are modelled as far
 * as the cores see them: a pair that can talk is connected, a killed daemon refuses, a cut pair falls silent.
 */
import { decodeMessage, encodeMessage } from '../../gossip/codec.ts'
import { lanConfig } from '../../gossip/config.ts'
import type { GossipConfig } from '../../gossip/config.ts'
import { GossipCore } from '../../gossip/core.ts'
import type { Output } from '../../gossip/core.ts'
import { verifySignature } from '../../gossip/identity.ts'
import type { Signer, Verifier } from '../../gossip/identity.ts'
import type { Member, MemberStatus, MembershipEvent } from '../../gossip/types.ts'
import { factsOf, seededRandom, signerOf } from './fixtures.ts'

interface Task {
  atMs: number
  order: number
  run: () => void
}

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
/** A cut pair notices again that it can talk after at most this. */
const REDIAL_LOOP_MS = 2_000

export class VirtualCluster {
  nowMs = 0
  bytes = 0
  readonly hosts: Host[] = []
  readonly config: Readonly<GossipConfig>
  readonly random: () => number
  readonly #tasks: Task[] = []
  readonly #signers: Signer[]
  readonly #verify: Verifier
  readonly #cut = new Set<string>()
  readonly #connected = new Set<string>()
  #order = 0

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
  }

  static async create(seed: number, size: number, config: Partial<GossipConfig> = {}): Promise<VirtualCluster> {
    const signers = await Promise.all(Array.from({ length: size }, (_, index) => signerOf(index)))
    return new VirtualCluster(seed, signers, config)
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
      facts: factsOf(index),
      software: 'test',
      incarnation,
      random: this.random,
      nowMs: this.nowMs,
    })
    const host: Host = { index, id: signer.id, core, up: true, pausedUntilMs: 0, tickAtMs: Infinity, events: [] }
    this.hosts[index] = host
    this.#schedule(host)
    return host
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

  connect(a: number, b: number): void {
    const key = pair(a, b)
    if (this.#connected.has(key) || !this.hosts[a]?.up || !this.hosts[b]?.up) return
    if (this.#cut.has(`${a}>${b}`) || this.#cut.has(`${b}>${a}`)) return
    this.#connected.add(key)
    this.#input(this.host(a), (core) => core.connected(this.nowMs, this.host(b).id))
    this.#input(this.host(b), (core) => core.connected(this.nowMs, this.host(a).id))
  }

  at(atMs: number, run: () => void): void {
    const tasks = this.#tasks
    const task = { atMs, order: this.#order++, run }
    let i = tasks.push(task) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!isBefore(task, tasks[parent]!)) break
      tasks[i] = tasks[parent]!
      i = parent
    }
    tasks[i] = task
  }

  /** Runs until the condition holds (then true), or until `ms` have passed (then false). */
  run(ms: number, condition: () => boolean = () => false): boolean {
    const untilMs = this.nowMs + ms
    for (;;) {
      const task = this.#tasks[0]
      if (task === undefined || task.atMs > untilMs) break
      this.#pop()
      this.nowMs = task.atMs
      task.run()
      if (condition()) return true
    }
    this.nowMs = untilMs
    return condition()
  }

  /** How `viewer` sees `subject`; undefined if it has never heard of it. */
  view(viewer: number, subject: number): Member | undefined {
    const { id } = this.host(subject)
    return this.host(viewer)
      .core.members(this.nowMs)
      .find((member) => member.facts.id === id)
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
        const other = this.hosts.findIndex((h) => h?.id === (output.event as { member: Member }).member.facts.id)
        if (other >= 0) this.at(this.nowMs + REDIAL_MS, () => this.connect(host.index, other))
      }
      return
    }
    const to = this.hosts.find((h) => h?.id === output.to)
    if (to === undefined || !this.#connected.has(pair(host.index, to.index))) return
    const bytes = encodeMessage(output.message)
    this.bytes += bytes.length
    if (!this.#canReach(host.index, to.index)) return
    this.at(this.nowMs + this.#latency(), () => {
      const verdict = decodeMessage(bytes)
      if (!verdict.ok) throw new Error(`a core sent what a core cannot read: ${verdict.reason}`)
      this.#input(to, (core) => core.receive(this.nowMs, host.id, verdict.message))
    })
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

  #pop(): void {
    const tasks = this.#tasks
    const last = tasks.pop()!
    if (tasks.length === 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= tasks.length) break
      if (child + 1 < tasks.length && isBefore(tasks[child + 1]!, tasks[child]!)) child++
      if (!isBefore(tasks[child]!, last)) break
      tasks[i] = tasks[child]!
      i = child
    }
    tasks[i] = last
  }
}

function isBefore(a: Task, b: Task): boolean {
  return a.atMs === b.atMs ? a.order < b.order : a.atMs < b.atMs
}

function pair(a: number, b: number): string {
  return a < b ? `${a}-${b}` : `${b}-${a}`
}
