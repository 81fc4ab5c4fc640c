/**
 * The hosts of a simulated cluster and the lives of their daemons, one after the other: each life is a membership of its
 * own (gossip/peer.ts) with a process loop and an access to the network; what outlasts it is what a disk would remember.
 *
 *     down ──start──▶ up ──leave──▶ leaving ──said goodbye──▶ down
 *      ▲               │ │
 *      └──killDaemon───┘ └──crash──▶ off ──start (another boot)──▶ up
 */
import type { GossipConfig } from '../../gossip/config.ts'
import type { FactsReader } from '../../gossip/facts-signature.ts'
import type { Signer } from '../../gossip/identity.ts'
import { Peer } from '../../gossip/peer.ts'
import type { MembershipEvent, OwnFacts } from '../../gossip/types.ts'
import type { Conditions } from './conditions.ts'
import { cachedReader, cachedVerifier, factsOf, gossipAddressOf } from './identities.ts'
import type { Ledger } from './ledger.ts'
import type { SimulatedAccess, SimulatedNetwork } from './network.ts'
import { ProcessLoop } from './process-loop.ts'
import { randomStream } from './random.ts'
import type { Random } from './random.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** The daemon starts with the wall clock's seconds: any value will do, growing with time. */
const WALL_CLOCK_S = 1_700_000_000
const LEAVE_MS = 1_000
const LEAVE_POLL_MS = 10

export interface Host {
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

export interface DaemonParts {
  seed: number
  signers: readonly Signer[]
  config: Readonly<GossipConfig>
  facts: (member: number) => Partial<OwnFacts>
  /** Members with different keys are strangers to each other. */
  clusterKey: (member: number) => string
  clock: VirtualClock
  conditions: Conditions
  network: SimulatedNetwork
  random: Random
  ledger: Ledger
  onEvent: (member: number, event: MembershipEvent) => void
}

export class Daemons {
  readonly hosts: readonly Host[]
  readonly #parts: DaemonParts
  readonly #verify = cachedVerifier()
  readonly #readFacts: FactsReader

  constructor(parts: DaemonParts) {
    this.#parts = parts
    this.#readFacts = cachedReader(parts.signers.map(({ id }) => id))
    this.hosts = parts.signers.map((signer, number) => ({
      number,
      signer,
      facts: parts.facts(number),
      state: 'down',
      boot: 1,
      lives: 0,
      loop: new ProcessLoop(parts.clock, parts.random),
      access: undefined,
      peer: undefined,
      firstIncarnation: 0,
      lastIncarnation: 0,
      known: [],
      stalledUntilMs: -Infinity,
      slowMs: 0,
    }))
    for (const { number } of this.hosts) parts.network.know(gossipAddressOf(number), number)
  }

  /** @throws Error for a number that no host has */
  host(member: number): Host {
    const host = this.hosts[member]
    if (host === undefined) throw new Error(`there is no member ${member} in a cluster of ${this.hosts.length}`)
    return host
  }

  start(member: number, seeds: readonly number[]): void {
    const host = this.host(member)
    if (host.state === 'up' || host.state === 'leaving') return
    const { seed, config, clock, conditions, network, ledger, onEvent } = this.#parts
    if (host.state === 'off') {
      conditions.setPower(member, true)
      host.boot++
    }
    const loop = new ProcessLoop(clock, this.#parts.random)
    loop.slow(host.slowMs)
    const identity = {
      host: member,
      id: host.signer.id,
      address: gossipAddressOf(member),
      clusterKey: this.#parts.clusterKey(member),
    }
    const access = network.access(identity, loop)
    const incarnation = WALL_CLOCK_S + Math.floor(clock.now() / 1_000)
    const peer = new Peer({
      core: {
        verify: this.#verify,
        readFacts: this.#readFacts,
        config,
        signer: host.signer,
        facts: this.#factsOf(host),
        software: 'simulated',
        incarnation,
        random: randomStream(seed, `member ${member} life ${host.lives}`),
      },
      network: access,
      clock: loop,
      seeds: seeds.map(gossipAddressOf),
      known: host.known,
      onEvent: (event) => onEvent(member, event),
    })
    host.state = 'up'
    host.lives++
    host.loop = loop
    host.access = access
    host.peer = peer
    host.firstIncarnation = Math.max(incarnation, host.lastIncarnation + 1)
    host.stalledUntilMs = -Infinity
    ledger.cameBack(member, clock.now())
    ledger.begin(member)
    void access.start(peer.handlers)
    peer.begin()
  }

  killDaemon(member: number): void {
    const host = this.host(member)
    if (host.access === undefined || (host.state !== 'up' && host.state !== 'leaving')) return
    this.#parts.ledger.died(member, 'daemon', this.#parts.clock.now())
    void host.access.stop()
    this.#ended(host, 'down')
  }

  crash(member: number): void {
    const host = this.host(member)
    if (host.state === 'off') return
    const { ledger, clock, conditions } = this.#parts
    if (host.state === 'up' || host.state === 'leaving') ledger.died(member, 'host', clock.now())
    conditions.setPower(member, false)
    host.access?.vanish()
    this.#ended(host, 'off')
  }

  leave(member: number): void {
    const host = this.host(member)
    const { clock } = this.#parts
    const { peer, access } = host
    if (host.state !== 'up' || peer === undefined || access === undefined) return
    host.state = 'leaving'
    peer.leave()
    const deadlineMs = clock.now() + LEAVE_MS
    const poll = (): void => {
      if (peer.farewellsPending > 0 && clock.now() < deadlineMs) {
        host.loop.schedule(clock.now() + LEAVE_POLL_MS, poll)
        return
      }
      peer.stop()
      void access.stop()
      this.#ended(host, 'down')
    }
    poll()
  }

  pause(member: number, ms: number): void {
    const host = this.host(member)
    host.loop.pause(ms)
    host.stalledUntilMs = Math.max(host.stalledUntilMs, this.#parts.clock.now() + ms)
  }

  slow(member: number, ms: number): void {
    const host = this.host(member)
    host.slowMs = ms
    host.loop.slow(ms)
  }

  setFacts(member: number, changes: Partial<OwnFacts>): void {
    const host = this.host(member)
    host.facts = { ...host.facts, ...changes }
    if (host.state === 'up') host.peer?.setFacts(this.#factsOf(host))
  }

  setLoad(member: number, load: number): void {
    const host = this.host(member)
    if (host.state === 'up') host.peer?.setLoad({ load, source: 'flows', ageMs: 0 })
  }

  #factsOf(host: Host): OwnFacts {
    return factsOf(host.number, host.boot, host.facts)
  }

  #ended(host: Host, state: 'down' | 'off'): void {
    if (host.peer !== undefined) {
      const own = host.peer.core.member(this.#parts.clock.now(), host.signer.id)
      host.lastIncarnation = own?.facts.incarnation ?? host.lastIncarnation
      host.known = host.peer.addresses().map(({ address }) => address)
    }
    host.state = state
    host.loop.end()
    host.peer = undefined
    host.access = undefined
    this.#parts.ledger.end(host.number)
  }
}
