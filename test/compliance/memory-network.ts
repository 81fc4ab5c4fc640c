/** The network seam in memory: hosts of one process, a constant latency, and still bytes, copied, in order, late. */
import type { Clock, DialOutcome, Lane, Network, NetworkHandlers, PeerConnection } from '../../gossip/network.ts'

/** What a lane holds before it refuses, bytes. */
const LANE_BYTES_MAX = 1_048_576

/** All that its nodes share. */
export class MemoryWorld {
  readonly clock: Clock
  readonly latencyMs: number
  readonly listening = new Map<string, MemoryNetwork>()
  readonly #cuts = new Set<string>()
  readonly #waiting: (() => void)[] = []

  constructor(clock: Clock, latencyMs = 1) {
    this.clock = clock
    this.latencyMs = latencyMs
  }

  /** From `a` to `b` nothing passes. */
  cut(a: string, b: string): void {
    this.#cuts.add(`${a}>${b}`)
  }

  heal(): void {
    this.#cuts.clear()
    for (const run of this.#waiting.splice(0)) run()
  }

  isCut(a: string, b: string): boolean {
    return this.#cuts.has(`${a}>${b}`) || this.#cuts.has(`${b}>${a}`)
  }

  /** After one latency, or once the cut is healed. Not in order with what is under way: see End. */
  later(from: string, to: string, run: () => void): void {
    this.clock.schedule(this.clock.now() + this.latencyMs, () => {
      if (this.isCut(from, to)) this.#waiting.push(() => this.later(from, to, run))
      else run()
    })
  }
}

export class MemoryNetwork implements Network {
  readonly id: string
  readonly address: string
  readonly key: string
  readonly world: MemoryWorld
  readonly ends = new Set<End>()
  handlers: NetworkHandlers | undefined

  constructor(world: MemoryWorld, id: string, address: string, key = '') {
    this.world = world
    this.id = id
    this.address = address
    this.key = key
  }

  start(handlers: NetworkHandlers): Promise<void> {
    this.handlers = handlers
    this.world.listening.set(this.address, this)
    return Promise.resolve()
  }

  dial(address: string, timeoutMs: number, done: (outcome: DialOutcome) => void): void {
    const { clock, latencyMs } = this.world
    const answer = (afterMs: number, outcome: DialOutcome): void =>
      void clock.schedule(clock.now() + afterMs, () => done(outcome))
    if (this.world.isCut(this.address, address)) return answer(timeoutMs, { ok: false, failure: 'unreachable' })
    clock.schedule(clock.now() + latencyMs, () => {
      const target = this.world.listening.get(address)
      if (this.handlers === undefined) return done({ ok: false, failure: 'unreachable' })
      if (target === undefined) return answer(latencyMs, { ok: false, failure: 'refused' })
      if (target.id === this.id) return answer(latencyMs, { ok: false, failure: 'self' })
      if (target.key !== this.key) {
        target.handlers?.stranger(this.address.split(':')[0]!, 'another key')
        return answer(latencyMs, { ok: false, failure: 'key' })
      }
      const near = new End(this, target, 'outbound', address)
      const far = new End(target, this, 'inbound', this.address)
      near.far = far
      far.far = near
      // Scheduled first: nothing that the far end sends may reach the dialler before its connection does.
      answer(latencyMs, { ok: true, connection: near })
      target.handlers?.opened(far)
    })
  }

  stop(): Promise<void> {
    for (const end of this.ends) end.abort('stopped')
    this.world.listening.delete(this.address)
    this.handlers = undefined
    return Promise.resolve()
  }
}

class End implements PeerConnection {
  readonly peer: string
  readonly address: string
  readonly direction: 'inbound' | 'outbound'
  far: End | undefined
  readonly #own: MemoryNetwork
  readonly #other: MemoryNetwork
  /** Sent, not yet delivered, in order. The end of the connection queues behind them. */
  readonly #underWay: ({ lane: Lane; bytes: Uint8Array } | 'end')[] = []
  #open = true

  constructor(own: MemoryNetwork, other: MemoryNetwork, direction: 'inbound' | 'outbound', address: string) {
    this.#own = own
    this.#other = other
    this.peer = other.id
    this.direction = direction
    this.address = address
    own.ends.add(this)
  }

  send(lane: Lane, frame: Uint8Array): boolean {
    const held = this.#underWay.reduce(
      (sum, one) => sum + (one !== 'end' && one.lane === lane ? one.bytes.length : 0),
      0,
    )
    if (!this.#open || held + frame.length > LANE_BYTES_MAX) return false
    this.#queue({ lane, bytes: frame.slice() })
    return true
  }

  abort(_reason: string): void {
    if (!this.#open) return
    this.#end()
    this.#queue('end')
  }

  #queue(item: { lane: Lane; bytes: Uint8Array } | 'end'): void {
    this.#underWay.push(item)
    // Each arrival takes whatever is first, so that those held up by a cut do not overtake each other.
    this.#own.world.later(this.#own.address, this.#other.address, () => this.far?.arrive(this.#underWay.shift()!))
  }

  arrive(item: { lane: Lane; bytes: Uint8Array } | 'end'): void {
    if (!this.#open) return
    if (item === 'end') this.#end()
    else this.#own.handlers?.frame(this, item.lane, item.bytes)
  }

  #end(): void {
    this.#open = false
    this.#own.ends.delete(this)
    this.#own.handlers?.closed(this)
  }
}
