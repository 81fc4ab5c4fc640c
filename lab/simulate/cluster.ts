/**
 * A whole cluster in virtual time, from one seed: every member is the daemon's own membership (gossip/peer.ts) over a
 * simulated network. What can happen to it is said in the words that people use: kill a daemon, cut the power, pull a
 * cable one way, let a member stand still. The same seed and the same calls give the same run, event for event.
 *
 * CPU time is not simulated, except where a member is told to be slow.
 */
import { lanConfig } from '../../gossip/config.ts'
import type { GossipConfig } from '../../gossip/config.ts'
import { Peer } from '../../gossip/peer.ts'
import type { Signer } from '../../gossip/identity.ts'
import type { Member, MemberStatus, MembershipEvent, OwnFacts } from '../../gossip/types.ts'
import { Conditions } from './conditions.ts'
import type { Sites, Weather } from './conditions.ts'
import type { NetworkModel } from './connection.ts'
import { cachedReader, cachedVerifier, factsOf, gossipAddressOf, signers } from './identities.ts'
import { Ledger } from './ledger.ts'
import type { SeenStatus, World, WrongDeath } from './ledger.ts'
import { SimulatedNetwork } from './network.ts'
import type { SimulatedAccess } from './network.ts'
import { ProcessLoop } from './process-loop.ts'
import { randomStream } from './random.ts'
import type { Random } from './random.ts'
import type { TrafficTotals } from './traffic.ts'
import { VirtualClock } from './virtual-clock.ts'

export interface ClusterSpec {
  seed: number
  members: number
  /** Default: streams, a local network without loss. */
  network?: Partial<Weather> & { model?: NetworkModel }
  /** Hosts in several places. Default: all in one. */
  sites?: Sites
  /** Over the preset for local networks. */
  config?: Partial<GossipConfig>
  /** Facts of single members. */
  facts?: (member: number) => Partial<OwnFacts>
  /** Members whose addresses everybody is given; default: the first three. */
  seeds?: readonly number[]
  /** Members with different keys are strangers to each other. Default: all have the same. */
  clusterKey?: (member: number) => string
  /** Keep every event; default: up to 100 members. */
  recordEvents?: boolean
}

/** A local network: 0.2 ms one way and a few tenths of queueing. */
const WEATHER: Weather = { latencyMs: 0.2, jitterMs: 0.2, loss: 0, duplicates: 0, reordered: 0, reorderMs: 0 }
/** What a datagram network does besides losing, unless told otherwise. */
const DATAGRAMS: Partial<Weather> = { duplicates: 0.005, reordered: 0.02, reorderMs: 20 }
const SEEDS = 3
const RECORD_EVENTS_MAX_MEMBERS = 100
/** All start within this time, as after a power cut; the first ones at once. */
const START_WITHIN_MS = 1_000
/** A member that stood still this short a time ago may rightly be called dead: the longest suspicion is about that. */
const STALL_MEMORY_MS = 10_000
/** The daemon starts with the wall clock's seconds: any value will do, growing with time. */
const WALL_CLOCK_S = 1_700_000_000
const LEAVE_MS = 1_000
const LEAVE_POLL_MS = 10

export interface RecordedEvent {
  atMs: number
  viewer: number
  /** Undefined: about nobody of this cluster. */
  subject: number | undefined
  event: MembershipEvent
}

interface Host {
  readonly number: number
  readonly signer: Signer
  facts: Partial<OwnFacts>
  /** `down`: the host is up, its daemon is not; `starting`: it will be in a moment. */
  state: 'down' | 'starting' | 'up' | 'leaving' | 'off'
  boot: number
  lives: number
  loop: ProcessLoop
  access: SimulatedAccess | undefined
  peer: Peer | undefined
  /** Lowest incarnation of its present life. */
  firstIncarnation: number
  lastIncarnation: number
  /** Addresses that its disk remembers. */
  known: string[]
  stalledUntilMs: number
  slowMs: number
}

export class SimulatedCluster {
  readonly seed: number
  readonly size: number
  readonly config: Readonly<GossipConfig>
  readonly clock = new VirtualClock()
  readonly ledger: Ledger
  /** All events, if they are kept. */
  readonly events: RecordedEvent[] = []
  readonly #hosts: Host[]
  readonly #numbers: ReadonlyMap<string, number>
  readonly #conditions: Conditions
  readonly #network: SimulatedNetwork
  readonly #random: Random
  readonly #seeds: readonly number[]
  readonly #clusterKey: (member: number) => string
  readonly #recordEvents: boolean
  readonly #listeners: ((event: RecordedEvent) => void)[] = []
  readonly #verify = cachedVerifier()
  readonly #readFacts = cachedReader()

  private constructor(spec: ClusterSpec, keys: readonly Signer[]) {
    const { model = 'streams', ...weather } = spec.network ?? {}
    this.seed = spec.seed
    this.size = spec.members
    this.config = lanConfig({ ...roomFor(spec.members), ...spec.config })
    this.#random = randomStream(spec.seed, 'cluster')
    this.#seeds = spec.seeds ?? Array.from({ length: Math.min(SEEDS, spec.members) }, (_, member) => member)
    this.#clusterKey = spec.clusterKey ?? (() => '')
    this.#recordEvents = spec.recordEvents ?? spec.members <= RECORD_EVENTS_MAX_MEMBERS
    const modelled = { ...WEATHER, ...(model === 'datagrams' ? DATAGRAMS : {}), ...weather }
    this.#conditions = new Conditions(keys.length, modelled, randomStream(spec.seed, 'network'), spec.sites)
    this.#network = new SimulatedNetwork(model, this.clock, this.#conditions, keys.length)
    this.#hosts = keys.map((signer, number) => ({
      number,
      signer,
      facts: spec.facts?.(number) ?? {},
      state: 'down',
      boot: 1,
      lives: 0,
      loop: new ProcessLoop(this.clock, this.#random),
      access: undefined,
      peer: undefined,
      firstIncarnation: 0,
      lastIncarnation: 0,
      known: [],
      stalledUntilMs: -Infinity,
      slowMs: 0,
    }))
    this.#numbers = new Map(keys.map(({ id }, number) => [id, number]))
    this.ledger = new Ledger(spec.members, this.#world())
    for (const host of this.#hosts) this.#network.know(gossipAddressOf(host.number), host.number)
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
    const host = this.#host(member)
    if (host.state === 'up' || host.state === 'leaving') return
    if (host.state === 'off') {
      this.#conditions.setPower(member, true)
      host.boot++
    }
    const loop = new ProcessLoop(this.clock, this.#random)
    loop.slow(host.slowMs)
    const identity = {
      host: member,
      id: host.signer.id,
      address: gossipAddressOf(member),
      clusterKey: this.#clusterKey(member),
    }
    const access = this.#network.access(identity, loop)
    const incarnation = WALL_CLOCK_S + Math.floor(this.clock.now() / 1_000)
    const gossip = { verify: this.#verify, readFacts: this.#readFacts }
    const peer = new Peer({
      core: {
        ...gossip,
        config: this.config,
        signer: host.signer,
        facts: this.#factsOf(host),
        software: 'simulated',
        incarnation,
        random: randomStream(this.seed, `member ${member} life ${host.lives}`),
      },
      network: access,
      clock: loop,
      seeds: seeds.map(gossipAddressOf),
      known: host.known,
      onEvent: (event) => this.#note(member, event),
    })
    host.state = 'up'
    host.lives++
    host.loop = loop
    host.access = access
    host.peer = peer
    host.firstIncarnation = Math.max(incarnation, host.lastIncarnation + 1)
    host.stalledUntilMs = -Infinity
    this.ledger.cameBack(member, this.clock.now())
    this.ledger.begin(member)
    void access.start(peer.handlers)
    peer.begin()
  }

  /** kill -9 of the daemon: its connections are closed by the kernel, its port refuses. */
  killDaemon(member: number): void {
    const host = this.#host(member)
    if (host.access === undefined || (host.state !== 'up' && host.state !== 'leaving')) return
    this.ledger.died(member, 'daemon', this.clock.now())
    void host.access.stop()
    this.#ended(host, 'down')
  }

  /** A power cut: nobody answers any more, and nothing is refused. */
  crash(member: number): void {
    const host = this.#host(member)
    if (host.state === 'off') return
    if (host.state === 'up' || host.state === 'leaving') this.ledger.died(member, 'host', this.clock.now())
    this.#conditions.setPower(member, false)
    host.access?.vanish()
    this.#ended(host, 'off')
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
    const host = this.#host(member)
    const { peer, access } = host
    if (host.state !== 'up' || peer === undefined || access === undefined) return
    host.state = 'leaving'
    peer.leave()
    const deadlineMs = this.clock.now() + LEAVE_MS
    const poll = (): void => {
      if (peer.farewellsPending > 0 && this.clock.now() < deadlineMs) {
        host.loop.schedule(this.clock.now() + LEAVE_POLL_MS, poll)
        return
      }
      peer.stop()
      void access.stop()
      this.#ended(host, 'down')
    }
    poll()
  }

  /** The daemon stands still for so long: it hears nothing, says nothing, and its timers are late. */
  pause(member: number, ms: number): void {
    const host = this.#host(member)
    host.loop.pause(ms)
    host.stalledUntilMs = Math.max(host.stalledUntilMs, this.clock.now() + ms)
  }

  /** Every input costs this member so much time from now on, over restarts. 0 ends it. */
  slow(member: number, ms: number): void {
    const host = this.#host(member)
    host.slowMs = ms
    host.loop.slow(ms)
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
    const host = this.#host(member)
    host.facts = { ...host.facts, ...changes }
    if (host.state === 'up') host.peer?.setFacts(this.#factsOf(host))
  }

  setLoad(member: number, load: number): void {
    const host = this.#host(member)
    if (host.state === 'up') host.peer?.setLoad({ load, source: 'flows', ageMs: 0 })
  }

  trafficOf(member: number): TrafficTotals {
    return this.#network.traffic.of(member)
  }

  traffic(): TrafficTotals {
    return this.#network.traffic.totals()
  }

  // -- inside -------------------------------------------------------------------------------------------------------

  #host(member: number): Host {
    const host = this.#hosts[member]
    if (host === undefined) throw new Error(`there is no member ${member} in a cluster of ${this.size}`)
    return host
  }

  #factsOf(host: Host): OwnFacts {
    return factsOf(host.number, host.boot, host.facts)
  }

  #ended(host: Host, state: 'down' | 'off'): void {
    if (host.peer !== undefined) {
      const own = host.peer.core.members(this.clock.now()).find(({ self }) => self)
      host.lastIncarnation = own?.facts.incarnation ?? host.lastIncarnation
      host.known = host.peer.addresses().map(({ address }) => address)
    }
    host.state = state
    host.loop.end()
    host.peer = undefined
    host.access = undefined
    this.ledger.end(host.number)
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

/** The preset's bounds hold for a cluster of some hundred; larger ones are simulated with as much as they need. */
function roomFor(members: number): Partial<GossipConfig> {
  const { membersMax } = lanConfig()
  return members > membersMax ? { membersMax: members } : {}
}
