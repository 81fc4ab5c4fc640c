/**
 * The network that all simulated hosts share, and each daemon's access to it: the third implementation of the seam
 * (gossip/network.ts). Hosts have an address; who dials it meets the kernel first, then the daemon:
 *
 *     host off, or the way is cut    nothing (ARP finds nobody): the dial times out
 *     nobody listens                 a RST: refused, at once
 *     a lost SYN or SYN-ACK          again after 1 s, 2 s, 4 s …  (RFC 6298; Linux: TCP_TIMEOUT_INIT)
 *     connected                      then the handshake of noise and yamux, for which both daemons must be awake
 */
import type { DialOutcome, Network, NetworkHandlers } from '../../gossip/network.ts'
import type { Conditions } from './conditions.ts'
import { connect } from './connection.ts'
import type { End, Fabric, NetworkModel, Owner } from './connection.ts'
import { FramePool } from './frame-pool.ts'
import type { ProcessLoop } from './process-loop.ts'
import { RETRANSMIT_MS } from './pipes.ts'
import { Traffic } from './traffic.ts'
import type { VirtualClock } from './virtual-clock.ts'

const SYN_RETRANSMIT_MS = 1_000
/** Messages one after the other between SYN-ACK and the first frame: private network, noise, yamux, streams. */
const HANDSHAKE_FLIGHTS = 6
/** CPU time that a libp2p connection costs on each side, ms: measured with Node 24. */
const HANDSHAKE_CPU_MS = 24
const EPHEMERAL_PORT_FIRST = 32_768
const EPHEMERAL_PORTS = 28_232

export interface HostIdentity {
  readonly host: number
  readonly id: string
  /** `a.b.c.d:port` */
  readonly address: string
  /** Only who holds the same key gets through the handshake. */
  readonly clusterKey: string
}

export class SimulatedNetwork {
  readonly conditions: Conditions
  readonly traffic: Traffic
  readonly #fabric: Fabric
  readonly #hostByAddress = new Map<string, number>()
  /** The daemon that listens on each host. */
  readonly #listeners = new Map<number, SimulatedAccess>()
  #ports = 0

  constructor(model: NetworkModel, clock: VirtualClock, conditions: Conditions, hosts: number) {
    this.conditions = conditions
    this.traffic = new Traffic(hosts)
    this.#fabric = { model, clock, conditions, traffic: this.traffic, frames: new FramePool() }
  }

  /** A host has this address, whether it listens or not. */
  know(address: string, host: number): void {
    this.#hostByAddress.set(address, host)
  }

  /** Access for one life of one daemon. */
  access(identity: HostIdentity, loop: ProcessLoop): SimulatedAccess {
    this.know(identity.address, identity.host)
    return new SimulatedAccess(this, this.#fabric, identity, loop)
  }

  hostAt(address: string): number | undefined {
    return this.#hostByAddress.get(address)
  }

  listenerOn(host: number): SimulatedAccess | undefined {
    return this.#listeners.get(host)
  }

  listen(access: SimulatedAccess): void {
    this.#listeners.set(access.host, access)
  }

  close(access: SimulatedAccess): void {
    if (this.#listeners.get(access.host) === access) this.#listeners.delete(access.host)
  }

  ephemeralPort(): number {
    return EPHEMERAL_PORT_FIRST + (this.#ports++ % EPHEMERAL_PORTS)
  }
}

/** One daemon's network. */
export class SimulatedAccess implements Network, Owner {
  readonly id: string
  readonly host: number
  readonly loop: ProcessLoop
  readonly ends = new Set<End>()
  handlers!: NetworkHandlers
  readonly #network: SimulatedNetwork
  readonly #fabric: Fabric
  readonly #identity: HostIdentity

  constructor(network: SimulatedNetwork, fabric: Fabric, identity: HostIdentity, loop: ProcessLoop) {
    this.#network = network
    this.#fabric = fabric
    this.#identity = identity
    this.id = identity.id
    this.host = identity.host
    this.loop = loop
  }

  start(handlers: NetworkHandlers): Promise<void> {
    this.handlers = handlers
    this.#network.listen(this)
    return Promise.resolve()
  }

  dial(address: string, timeoutMs: number, done: (outcome: DialOutcome) => void): void {
    const { clock, conditions } = this.#fabric
    const dial: Dial = { address, deadlineMs: clock.now() + timeoutMs, state: 'connecting', done }
    this.loop.schedule(dial.deadlineMs, () => this.#settle(dial, { ok: false, failure: 'unreachable' }))
    const target = this.#network.hostAt(address)
    if (target === this.host) {
      clock.at(clock.now() + conditions.delayMs(target, target), () => this.#fail(dial, 'self'))
    } else if (target !== undefined) {
      this.#sendSyn(dial, target, 0)
    }
  }

  stop(): Promise<void> {
    this.#network.close(this)
    for (const end of this.ends) end.finish()
    this.loop.end()
    return Promise.resolve()
  }

  /** The host lost power: nobody hears of it. */
  vanish(): void {
    this.#network.close(this)
    for (const end of this.ends) end.vanish()
    this.loop.end()
  }

  /** Our kernel's part: it repeats the SYN for as long as somebody waits. */
  #sendSyn(dial: Dial, to: number, tries: number): void {
    const { clock, conditions, traffic } = this.#fabric
    if (dial.state !== 'connecting' || clock.now() >= dial.deadlineMs) return
    clock.at(clock.now() + SYN_RETRANSMIT_MS * 2 ** tries, () => this.#sendSyn(dial, to, tries + 1))
    traffic.control(this.host, to)
    this.#packet(this.host, to, () => {
      const listening = this.#network.listenerOn(to) !== undefined
      if (conditions.isBlocked(to, this.host)) return
      traffic.control(to, this.host)
      this.#packet(to, this.host, () => {
        if (listening) this.#shakeHands(dial, to)
        else this.#fail(dial, 'refused')
      })
    })
  }

  /** One packet without repetition. */
  #packet(from: number, to: number, arrive: () => void): void {
    const { clock, conditions } = this.#fabric
    if (conditions.isBlocked(from, to) || conditions.isLost(from, to)) return
    clock.at(clock.now() + conditions.delayMs(from, to), arrive)
  }

  #shakeHands(dial: Dial, to: number): void {
    if (dial.state !== 'connecting') return
    dial.state = 'handshake'
    const { clock, traffic } = this.#fabric
    traffic.handshake(this.host, to)
    const listener = this.#network.listenerOn(to)
    if (listener === undefined) return this.#fail(dial, 'unreachable')
    clock.at(clock.now() + this.#flightsMs(to, HANDSHAKE_FLIGHTS / 2) + HANDSHAKE_CPU_MS, () =>
      listener.loop.input(() => this.#meet(dial, to, listener)),
    )
  }

  /** The listening daemon has done its part; ours is next. */
  #meet(dial: Dial, to: number, listener: SimulatedAccess): void {
    const { clock } = this.#fabric
    if (listener.#identity.clusterKey !== this.#identity.clusterKey) {
      listener.handlers.stranger(this.#identity.address, 'another cluster key')
      clock.at(clock.now() + this.#flightsMs(to, 1), () => this.#fail(dial, 'key'))
      return
    }
    clock.at(clock.now() + this.#flightsMs(to, HANDSHAKE_FLIGHTS / 2) + HANDSHAKE_CPU_MS, () =>
      this.loop.input(() => {
        const { conditions } = this.#fabric
        const cut = conditions.isBlocked(this.host, to) || conditions.isBlocked(to, this.host)
        if (dial.state !== 'handshake' || cut) return
        if (this.#network.listenerOn(to) !== listener) return this.#settle(dial, { ok: false, failure: 'unreachable' })
        const from = `${this.#identity.address.split(':')[0]!}:${this.#network.ephemeralPort()}`
        const connection = connect(this.#fabric, this, listener, dial.address, from)
        this.#settle(dial, { ok: true, connection })
      }),
    )
  }

  /** How long it takes until so many messages went to and fro, each lost and repeated like any other. */
  #flightsMs(to: number, flights: number): number {
    const { conditions } = this.#fabric
    const firstMs = RETRANSMIT_MS + conditions.farRoundTripMs(this.host, to)
    let ms = 0
    for (let flight = 0; flight < flights; flight++) {
      ms += conditions.delayMs(this.host, to)
      for (let k = 0; k < FLIGHT_LOSSES_MAX && conditions.isLost(this.host, to); k++) ms += firstMs * 2 ** k
    }
    return ms
  }

  #fail(dial: Dial, failure: 'refused' | 'key' | 'self' | 'unreachable'): void {
    this.loop.input(() => this.#settle(dial, { ok: false, failure }))
  }

  #settle(dial: Dial, outcome: DialOutcome): void {
    if (dial.state === 'settled') return
    dial.state = 'settled'
    dial.done(outcome)
  }
}

const FLIGHT_LOSSES_MAX = 10

interface Dial {
  readonly address: string
  readonly deadlineMs: number
  state: 'connecting' | 'handshake' | 'settled'
  readonly done: (outcome: DialOutcome) => void
}
