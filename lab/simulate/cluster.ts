/**
 * A whole cluster in virtual time, from one seed: every member is the daemon's own membership (gossip/peer.ts) over a
 * simulated network. What can happen to it is said in the words that people use: kill a daemon, cut the power, pull a
 * cable one way, let a member stand still. The same seed and the same calls give the same run, event for event.
 *
 * CPU time is not simulated, except where a member is told to be slow.
 */
import type { GossipConfig } from '../../gossip/config.ts'
import type { Signer } from '../../gossip/identity.ts'
import type { Peer } from '../../gossip/peer.ts'
import type { Member, MemberStatus, MembershipEvent, OwnFacts } from '../../gossip/types.ts'
import { configFor, modelFor, seedsFor, weatherFor } from './cluster-spec.ts'
import type { ClusterSpec } from './cluster-spec.ts'
import { Conditions } from './conditions.ts'
import { Daemons } from './daemons.ts'
import type { Host } from './daemons.ts'
import { signers } from './identities.ts'
import { Ledger } from './ledger.ts'
import type { SeenStatus, World, WrongDeath } from './ledger.ts'
import { SimulatedNetwork } from './network.ts'
import { randomStream } from './random.ts'
import type { Random } from './random.ts'
import type { TrafficTotals } from './traffic.ts'
import { VirtualClock } from './virtual-clock.ts'

export type { ClusterSpec } from './cluster-spec.ts'

const RECORD_EVENTS_MAX_MEMBERS = 100
/** All start within this time, as after a power cut; the first ones at once. */
const START_WITHIN_MS = 1_000
/** A member that stood still this short a time ago may rightly be called dead: the longest suspicion is about that. */
const STALL_MEMORY_MS = 10_000

export interface RecordedEvent {
  atMs: number
  viewer: number
  /** Undefined: about nobody of this cluster. */
  subject: number | undefined
  event: MembershipEvent
}

export class SimulatedCluster {
  readonly seed: number
  readonly size: number
  readonly config: Readonly<GossipConfig>
  readonly clock = new VirtualClock()
  readonly ledger: Ledger
  /** All events, if they are kept. */
  readonly events: RecordedEvent[] = []
  readonly #daemons: Daemons
  readonly #hosts: readonly Host[]
  readonly #numbers: ReadonlyMap<string, number>
  readonly #conditions: Conditions
  readonly #network: SimulatedNetwork
  readonly #random: Random
  readonly #seeds: readonly number[]
  readonly #recordEvents: boolean
  readonly #listeners: ((event: RecordedEvent) => void)[] = []

  private constructor(spec: ClusterSpec, keys: readonly Signer[]) {
    this.seed = spec.seed
    this.size = spec.members
    this.config = configFor(spec)
    this.#random = randomStream(spec.seed, 'cluster')
    this.#seeds = seedsFor(spec)
    this.#recordEvents = spec.recordEvents ?? spec.members <= RECORD_EVENTS_MAX_MEMBERS
    this.#conditions = new Conditions(keys.length, weatherFor(spec), randomStream(spec.seed, 'network'), spec.sites)
    this.#network = new SimulatedNetwork(modelFor(spec), this.clock, this.#conditions, keys.length)
    this.#numbers = new Map(keys.map(({ id }, number) => [id, number]))
    this.ledger = new Ledger(spec.members, this.#world())
    this.#daemons = new Daemons({
      seed: spec.seed,
      signers: keys,
      config: this.config,
      facts: spec.facts ?? (() => ({})),
      clusterKey: spec.clusterKey ?? (() => ''),
      clock: this.clock,
      conditions: this.#conditions,
      network: this.#network,
      random: this.#random,
      ledger: this.ledger,
      onEvent: (member, event) => this.#note(member, event),
    })
    this.#hosts = this.#daemons.hosts
  }

  static async create(spec: ClusterSpec): Promise<SimulatedCluster> {
    return new SimulatedCluster(spec, await signers(spec.seed, spec.members))
  }

  // -- daemons and hosts --------------------------------------------------------------------------------------------

  /** Starts every daemon that is not running: the seeds now, the others at random moments of the first second. */
  startAll(withinMs = START_WITHIN_MS): void {
    for (const host of this.#hosts) {
      if (host.state === 'up' || host.state === 'leaving') continue
      if (this.#seeds.includes(host.number)) {
        this.start(host.number)
        continue
      }
      if (host.state === 'down') host.state = 'starting'
      this.clock.at(this.clock.now() + this.#random() * withinMs, () => this.start(host.number))
    }
  }

  /**
   * Starts every daemon now and hands all records to all, for whom it is not about how they meet: to find each other
   * takes every member as much work as minutes of what follows.
   */
  startIntroduced(): void {
    for (const { number } of this.#hosts) this.start(number)
    const peers = this.#hosts.flatMap(({ peer }) => peer ?? [])
    const records = peers.map(({ core }) => Object.freeze({ ...core.ownRecord }))
    for (const peer of peers) peer.learn(records)
  }

  start(member: number, seeds: readonly number[] = this.#seeds): void {
    this.#daemons.start(member, seeds)
  }

  /** kill -9 of the daemon: its connections are closed by the kernel, its port refuses. */
  killDaemon(member: number): void {
    this.#daemons.killDaemon(member)
  }

  /** A power cut: nobody answers any more, and nothing is refused. */
  crash(member: number): void {
    this.#daemons.crash(member)
  }

  /** Kills the daemon if it runs and starts it again: same identity, and what its disk remembers. */
  restart(member: number, options: { newBoot?: boolean } = {}): void {
    const host = this.#host(member)
    if (options.newBoot === true) this.crash(member)
    else this.killDaemon(member)
    host.boot += options.newBoot === true && host.state !== 'off' ? 1 : 0
    this.start(member)
  }

  /** Says goodbye, waits until that was heard (at most a second), and ends. */
  leave(member: number): void {
    this.#daemons.leave(member)
  }

  /** The daemon stands still for so long: it hears nothing, says nothing, and its timers are late. */
  pause(member: number, ms: number): void {
    this.#daemons.pause(member, ms)
  }

  /** Every input costs this member so much time from now on, over restarts. 0 ends it. */
  slow(member: number, ms: number): void {
    this.#daemons.slow(member, ms)
  }

  // -- the network --------------------------------------------------------------------------------------------------

  /** From `a` to `b` nothing passes; from `b` to `a` it does. */
  cut(a: number, b: number): void {
    this.#conditions.cut(a, b)
  }

  /** Each group reaches itself only; whoever is in none belongs to the first. */
  partition(...groups: readonly (readonly number[])[]): void {
    groups.forEach((members, side) => {
      for (const member of members) this.#conditions.setSide(member, side)
    })
  }

  /** Ends every cut and partition, and the loss of single pairs. */
  heal(): void {
    this.#conditions.heal()
  }

  /** Share of packets lost everywhere, 0 to 1. */
  setLoss(loss: number): void {
    this.#conditions.weather.loss = loss
  }

  /** From `a` to `b` alone. */
  setPairLoss(a: number, b: number, loss: number): void {
    this.#conditions.setPairLoss(a, b, loss)
  }

  // -- time ---------------------------------------------------------------------------------------------------------

  get nowMs(): number {
    return this.clock.now()
  }

  /** Runs until the condition holds (then true), or until `ms` have passed (then false). */
  run(ms: number, until?: () => boolean): boolean {
    return this.clock.run(ms, until)
  }

  /** Does something at a later moment. */
  at(atMs: number, act: () => void): void {
    this.clock.at(atMs, act)
  }

  // -- what members see ---------------------------------------------------------------------------------------------

  isUp(member: number): boolean {
    return this.#host(member).state === 'up'
  }

  /** Members whose daemon runs. */
  up(): number[] {
    return this.#hosts.filter(({ state }) => state === 'up').map(({ number }) => number)
  }

  idOf(member: number): string {
    return this.#host(member).signer.id
  }

  numberOf(id: string): number | undefined {
    return this.#numbers.get(id)
  }

  /** The membership of a daemon that runs. */
  peer(member: number): Peer {
    const { peer } = this.#host(member)
    if (peer === undefined) throw new Error(`member ${member} is not running`)
    return peer
  }

  members(viewer: number): Member[] {
    return this.peer(viewer).core.members(this.clock.now())
  }

  /** One by one, in no particular order. */
  eachMember(viewer: number, see: (member: Member) => void): void {
    this.peer(viewer).core.eachMember(this.clock.now(), see)
  }

  /** How `viewer` sees `subject`; undefined if it has never heard of it. Slow: for the status alone, ask `seen`. */
  view(viewer: number, subject: number): Member | undefined {
    const id = this.idOf(subject)
    return this.members(viewer).find((member) => member.facts.id === id)
  }

  seen(viewer: number, subject: number): SeenStatus {
    return this.ledger.seen(viewer, subject)
  }

  /** True if every member that is up, the subject left out, sees it in this status. */
  allSee(subject: number, status: MemberStatus): boolean {
    return this.#hosts.every(
      (host) => host.state !== 'up' || host.number === subject || this.seen(host.number, subject) === status,
    )
  }

  /** True if every member that is up sees every other one that is up alive, and nobody is about to start. */
  converged(): boolean {
    const up = this.up()
    if (this.#hosts.some(({ state }) => state === 'starting')) return false
    return up.every((member) => this.ledger.aliveViews(member) >= up.length && this.allSee(member, 'alive'))
  }

  /** True if every member that is up has a link to each of its neighbours. */
  linked(): boolean {
    return this.#hosts.every(
      ({ state, peer }) =>
        state !== 'up' || peer === undefined || peer.core.neighbours().every((id) => peer.isLinked(id)),
    )
  }

  /** Verdicts `dead` on members that were up and could be reached. */
  wrongDeaths(): readonly WrongDeath[] {
    return this.ledger.wrongDeaths
  }

  onEvent(listener: (event: RecordedEvent) => void): void {
    this.#listeners.push(listener)
  }

  // -- facts, loads, figures ----------------------------------------------------------------------------------------

  setFacts(member: number, changes: Partial<OwnFacts>): void {
    this.#daemons.setFacts(member, changes)
  }

  setLoad(member: number, load: number): void {
    this.#daemons.setLoad(member, load)
  }

  trafficOf(member: number): TrafficTotals {
    return this.#network.traffic.of(member)
  }

  traffic(): TrafficTotals {
    return this.#network.traffic.totals()
  }

  // -- inside -------------------------------------------------------------------------------------------------------

  #host(member: number): Host {
    return this.#daemons.host(member)
  }

  #note(viewer: number, event: MembershipEvent): void {
    const id = 'member' in event ? event.member.facts.id : 'id' in event ? event.id : undefined
    const subject = id === undefined ? undefined : this.#numbers.get(id)
    const atMs = this.clock.now()
    if (subject !== undefined && subject !== viewer) this.ledger.note(viewer, subject, event, atMs)
    const recorded = { atMs, viewer, subject, event }
    if (this.#recordEvents) this.events.push(recorded)
    for (const listener of this.#listeners) listener(recorded)
  }

  #world(): World {
    return {
      isUp: (member) => this.isUp(member),
      isReachable: (a, b) => this.#isReachable(a, b),
      hasStalled: (member) => this.clock.now() - this.#host(member).stalledUntilMs < STALL_MEMORY_MS,
      firstIncarnation: (member) => this.#host(member).firstIncarnation,
    }
  }

  /** Both ways, directly or through one other member: what SWIM promises to find out. */
  #isReachable(a: number, b: number): boolean {
    const talk = (x: number, y: number): boolean =>
      !this.#conditions.isBlocked(x, y) && !this.#conditions.isBlocked(y, x)
    if (talk(a, b)) return true
    return this.#hosts.some(({ number, state }) => state === 'up' && talk(a, number) && talk(number, b))
  }
}
