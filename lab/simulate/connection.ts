/**
 * One connection between two simulated daemons: two ends and a pipe in each direction, with what the kernels below them
 * do. A killed process's sockets are closed in order (FIN), an aborted connection with a RST; a segment for a socket
 * that is no more is answered with a RST, if the host is up.
 */
import type { Lane, NetworkHandlers, PeerConnection } from '../../gossip/network.ts'
import type { Conditions } from './conditions.ts'
import type { FramePool } from './frame-pool.ts'
import { DatagramPipe, StreamPipe } from './pipes.ts'
import type { Parcel, Pipe, PipeParts } from './pipes.ts'
import type { ProcessLoop } from './process-loop.ts'
import type { Traffic } from './traffic.ts'
import type { VirtualClock } from './virtual-clock.ts'

export type NetworkModel = 'streams' | 'datagrams'

export interface Fabric {
  readonly model: NetworkModel
  readonly clock: VirtualClock
  readonly conditions: Conditions
  readonly traffic: Traffic
  readonly frames: FramePool
}

/** A daemon that holds an end. */
export interface Owner {
  readonly host: number
  readonly id: string
  readonly loop: ProcessLoop
  readonly handlers: NetworkHandlers
  /** Its open ends. */
  readonly ends: Set<End>
}

/** Connects two daemons: the dialler's end is open at once, the other's with the first sign that reaches it. */
export function connect(fabric: Fabric, dialler: Owner, listener: Owner, address: string, from: string): End {
  const near = new End(fabric, dialler, listener.id, address, 'outbound')
  const far = new End(fabric, listener, dialler.id, from, 'inbound')
  near.join(far)
  far.join(near)
  near.begin()
  return near
}

export class End implements PeerConnection {
  readonly peer: string
  readonly address: string
  readonly direction: 'inbound' | 'outbound'
  readonly #fabric: Fabric
  readonly #owner: Owner
  /** Set by `join`, before anything happens. */
  other!: End
  #pipe!: Pipe
  /** The daemon knows of it. */
  #announced: boolean
  /** The socket is open, as this host's kernel sees it. */
  #open = true
  /** The daemon itself ended it, or was ended: it wants to hear nothing more than that it is closed. */
  #given = false

  constructor(fabric: Fabric, owner: Owner, peer: string, address: string, direction: 'inbound' | 'outbound') {
    this.#fabric = fabric
    this.#owner = owner
    this.peer = peer
    this.address = address
    this.direction = direction
    this.#announced = direction === 'outbound'
    owner.ends.add(this)
  }

  join(other: End): void {
    const { model, clock, conditions, traffic } = this.#fabric
    const [from, to] = [this.#owner.host, other.#owner.host]
    const parts: PipeParts = { clock, conditions, traffic, from, to, arrive: (parcel) => other.#arrive(parcel) }
    this.other = other
    this.#pipe = model === 'streams' ? new StreamPipe(parts) : new DatagramPipe(parts)
  }

  begin(): void {
    this.#pipe.send({ type: 'open' })
  }

  send(lane: Lane, frame: Uint8Array): boolean {
    // A copy: the sender may use its buffer again.
    return this.#open && this.#pipe.send({ type: 'frame', lane, frame: this.#fabric.frames.copyOf(frame) })
  }

  abort(_reason: string): void {
    if (this.#given) return
    this.#given = true
    const { clock } = this.#fabric
    clock.at(clock.now(), () => this.#owner.loop.input(() => this.#owner.handlers.closed(this)))
    if (!this.#open) return
    this.#leaveOpen()
    this.#reset()
  }

  /** The process is gone; the kernel closes its sockets in order. */
  finish(): void {
    this.#given = true
    if (!this.#open) return
    this.#leaveOpen()
    this.#pipe.send({ type: 'fin' })
  }

  /** The host is off: nobody says anything any more, and after a start nobody remembers. */
  vanish(): void {
    this.#given = true
    this.#leaveOpen()
    this.#pipe.discard()
  }

  /** A segment has reached this host. */
  #arrive(parcel: Parcel): void {
    if (!this.#open) {
      this.#reset()
      return
    }
    this.#announce()
    if (parcel.type === 'fin') this.#closedByOther()
    if (parcel.type !== 'frame') return
    const { loop, handlers } = this.#owner
    loop.input(() => {
      if (!this.#given) handlers.frame(this, parcel.lane, parcel.frame)
      // Of datagrams there may be a second copy under way.
      if (this.#fabric.model === 'streams') this.#fabric.frames.giveBack(parcel.frame)
    })
  }

  #announce(): void {
    if (this.#announced) return
    this.#announced = true
    const { loop, handlers } = this.#owner
    loop.input(() => handlers.opened(this))
  }

  #closedByOther(): void {
    if (!this.#open) return
    this.#leaveOpen()
    this.#pipe.discard()
    this.other.#pipe.discard()
    if (!this.#announced) return
    this.#owner.loop.input(() => {
      if (this.#given) return
      this.#given = true
      this.#owner.handlers.closed(this)
    })
  }

  /** A RST is sent once and may be lost; the next segment from there causes another one. */
  #reset(): void {
    const { clock, conditions, traffic } = this.#fabric
    const [from, to] = [this.#owner.host, this.other.#owner.host]
    traffic.control(from, to)
    if (conditions.isLost(from, to)) return
    clock.at(this.#pipe.controlArrivalMs(), () => {
      if (!conditions.isBlocked(from, to)) this.other.#closedByOther()
    })
  }

  /** The socket is no more; what it has sent is still under way. */
  #leaveOpen(): void {
    this.#open = false
    this.#owner.ends.delete(this)
  }
}
