/**
 * The network seam among daemons that have too little CPU: whatever they do takes time, one thing after the other, and
 * handshakes most of all. As Node does it: a turn of a loop does what was ready when it began, and accepts one connection
 * (libuv since 1.45), also one whose dialler has gone; work for a connection that is given up halfway is work for nothing.
 */
import type { Clock, DialOutcome, DialStage, Lane, Network } from '../../gossip/network.ts'
import type { NetworkHandlers, PeerConnection } from '../../gossip/network.ts'
import type { VirtualClock } from './virtual-clock.ts'

const LATENCY_MS = 0.2
/** Of CPU. */
const TIMER_MS = 0.05
const FRAME_MS = 0.3
const ACCEPT_MS = 1

/** What a handshake costs, and how long an end waits for it from the TCP connection on. */
export interface HandshakeModel {
  /** Of CPU, at each end. */
  cpuMs: number
  withinMs: number
}

/** One daemon's event loop, and its clock. */
export class BusyLoop implements Clock {
  /** Connections that the kernel has accepted and the daemon has not. */
  readonly backlog: (() => void)[] = []
  readonly #clock: VirtualClock
  /** Of a core: as much as it gets. */
  readonly #share: number
  #ready: { cpuMs: number; run: () => void }[] = []
  #isTurning = false
  #chargedMs = 0

  constructor(clock: VirtualClock, share: number) {
    this.#clock = clock
    this.#share = share
  }

  now(): number {
    return this.#clock.now()
  }

  schedule(atMs: number, run: () => void): () => void {
    let wanted = true
    const guarded = (): void => {
      if (wanted) run()
    }
    const takeBack = this.#clock.schedule(Math.ceil(atMs), () => this.input(TIMER_MS, guarded))
    return () => {
      wanted = false
      takeBack()
    }
  }

  /** Something to do, as soon as its turn comes. */
  input(cpuMs: number, run: () => void): void {
    this.#ready.push({ cpuMs, run })
    this.wake()
  }

  /** What is being done takes this much longer. */
  charge(cpuMs: number): void {
    this.#chargedMs += cpuMs
  }

  wake(): void {
    if (this.#isTurning) return
    this.#isTurning = true
    this.#clock.at(this.now(), () => this.#turn())
  }

  #turn(): void {
    const batch = this.#ready
    this.#ready = []
    const accept = this.backlog.shift()
    if (accept !== undefined) batch.push({ cpuMs: ACCEPT_MS, run: accept })
    this.#work(batch, 0)
  }

  #work(batch: readonly { cpuMs: number; run: () => void }[], index: number): void {
    const next = batch[index]
    if (next === undefined) {
      this.#isTurning = false
      if (this.#ready.length > 0 || this.backlog.length > 0) this.wake()
      return
    }
    this.#chargedMs = next.cpuMs
    next.run()
    this.#clock.at(this.now() + this.#chargedMs / this.#share, () => this.#work(batch, index + 1))
  }
}

export class BusyNetwork implements Network {
  readonly id: string
  readonly loop: BusyLoop
  readonly address: string
  readonly model: HandshakeModel
  readonly #listening: Map<string, BusyNetwork>
  handlers!: NetworkHandlers

  /** @param listening of all of them, by address */
  constructor(id: string, address: string, loop: BusyLoop, model: HandshakeModel, listening: Map<string, BusyNetwork>) {
    this.id = id
    this.address = address
    this.loop = loop
    this.model = model
    this.#listening = listening
  }

  start(handlers: NetworkHandlers): Promise<void> {
    this.handlers = handlers
    this.#listening.set(this.address, this)
    return Promise.resolve()
  }

  stop(): Promise<void> {
    return Promise.resolve()
  }

  dial(
    address: string,
    _timeoutMs: number,
    done: (outcome: DialOutcome) => void,
    progress?: (stage: DialStage) => void,
  ): void {
    const { loop } = this
    const target = this.#listening.get(address)!
    loop.schedule(loop.now() + 2 * LATENCY_MS, () => progress?.('accepted'))
    new Handshake(this, target, done, progress).begin()
  }
}

/** Turns of both ends, from the TCP connection on; each share of the work is done by one end and begun by the other. */
class Handshake {
  readonly #near: BusyNetwork
  readonly #far: BusyNetwork
  readonly #done: (outcome: DialOutcome) => void
  readonly #progress: ((stage: DialStage) => void) | undefined
  #isGivenUp = false

  constructor(
    near: BusyNetwork,
    far: BusyNetwork,
    done: (outcome: DialOutcome) => void,
    progress: ((stage: DialStage) => void) | undefined,
  ) {
    this.#near = near
    this.#far = far
    this.#done = done
    this.#progress = progress
  }

  begin(): void {
    const { loop, model } = this.#near
    loop.schedule(loop.now() + model.withinMs, () => this.#giveUp())
    this.#far.loop.backlog.push(() => this.#pass(this.#near, 0))
    this.#far.loop.wake()
  }

  #giveUp(): void {
    if (this.#isGivenUp) return
    this.#isGivenUp = true
    this.#done({ ok: false, failure: 'unreachable' })
  }

  /** The nonces, the choice of a cipher, its keys, the stream: each end has four shares of the work. */
  #pass(to: BusyNetwork, step: number): void {
    to.loop.schedule(to.loop.now() + LATENCY_MS, () => {
      if (this.#isGivenUp) return
      to.loop.charge(to.model.cpuMs / 4)
      if (step === 2) this.#progress?.('answered')
      if (step < 6) this.#pass(to === this.#near ? this.#far : this.#near, step + 1)
      else this.#complete()
    })
  }

  #complete(): void {
    this.#isGivenUp = true
    const near = new End(this.#near, this.#far, 'outbound', this.#far.address)
    const far = new End(this.#far, this.#near, 'inbound', this.#near.address)
    near.far = far
    far.far = near
    this.#done({ ok: true, connection: near })
    this.#far.loop.input(this.#far.model.cpuMs / 4, () => this.#far.handlers.opened(far))
  }
}

class End implements PeerConnection {
  readonly peer: string
  readonly address: string
  readonly direction: 'inbound' | 'outbound'
  far!: End
  readonly #own: BusyNetwork
  #open = true

  constructor(own: BusyNetwork, other: BusyNetwork, direction: 'inbound' | 'outbound', address: string) {
    this.#own = own
    this.peer = other.id
    this.direction = direction
    this.address = address
  }

  send(lane: Lane, frame: Uint8Array): boolean {
    if (!this.#open) return false
    this.#own.loop.charge(FRAME_MS)
    const copy = frame.slice()
    this.#toFar(() => this.far.#own.handlers.frame(this.far, lane, copy))
    return true
  }

  abort(_reason: string): void {
    if (!this.#open) return
    this.#end()
    this.#toFar(() => this.far.#end())
  }

  #toFar(run: () => void): void {
    const { far } = this
    far.#own.loop.schedule(this.#own.loop.now() + LATENCY_MS, () => {
      if (!far.#open) return
      far.#own.loop.charge(FRAME_MS)
      run()
    })
  }

  #end(): void {
    this.#open = false
    this.#own.handlers.closed(this)
  }
}
