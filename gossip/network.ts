/**
 * The seam between membership and whatever carries its messages: connections to proven peers, and the clock that drives
 * both. Three implementations pass one compliance suite: libp2p (real), in-memory (tests), simulated (lab, in virtual
 * time). No promises after the start: everything is a call or a callback, so that a simulator can replay a run exactly.
 */

/** `probe` frames must never queue behind `bulk` ones. */
export type Lane = 'probe' | 'bulk'

/** One connection to one peer, whose identity the handshake has proved. */
export interface PeerConnection {
  /** Peer id, base58. */
  readonly peer: string
  /** `a.b.c.d:port` at the far end; of an inbound connection an ephemeral port. */
  readonly address: string
  readonly direction: 'inbound' | 'outbound'
  /**
   * Takes one frame, never blocks. False: not taken (closed, or the lane is full), and the frame is gone; the next
   * exchange repairs that. Frames of one lane arrive whole, once and in order, or the connection ends.
   */
  send(lane: Lane, frame: Uint8Array): boolean
  /** Ends it at once for both ends. Idempotent. */
  abort(reason: string): void
}

/** Why a dial failed, as far as it matters to us. `refused` is proof that the host lives and the port is closed. */
export type DialFailure = 'refused' | 'key' | 'self' | 'denied' | 'unreachable'

/** How far a dial has come: the far kernel has accepted it; the far daemon has answered with our key. */
export type DialStage = 'accepted' | 'answered'

export type DialOutcome = { ok: true; connection: PeerConnection } | { ok: false; failure: DialFailure }

/** What a network tells its node. None of these may throw. */
export interface NetworkHandlers {
  /** An inbound connection is ready. Outbound ones are handed to the dial's callback instead. */
  opened(connection: PeerConnection): void
  frame(connection: PeerConnection, lane: Lane, frame: Uint8Array): void
  /** Exactly once for every connection that was opened or dialled, also after our own `abort`. */
  closed(connection: PeerConnection): void
  /** Somebody who is no member knocked: another key, not on the allow-list, or garbage. */
  stranger(address: string, reason: string): void
}

/** One node's access to the network. */
export interface Network {
  /** This node's identity (libp2p peer id, base58). */
  readonly id: string
  /** Listens. Rejects with GossipError. Handlers may be called from now on until `stop`. */
  start(handlers: NetworkHandlers): Promise<void>
  /**
   * A new connection to `a.b.c.d:port`, even if there is one already. `done` is called once, later: within `timeoutMs`
   * unless a kernel accepts it there. The handshake has a time of its own, because two busy daemons need long for one, and
   * giving it up would be work thrown away. `progress` may be called before.
   */
  dial(
    address: string,
    timeoutMs: number,
    done: (outcome: DialOutcome) => void,
    progress?: (stage: DialStage) => void,
  ): void
  /** Ends every connection as a killed process would, and stops listening. */
  stop(): Promise<void>
}

/** Monotonic time and timers: real ones in the daemon, virtual ones in the simulator. */
export interface Clock {
  /** ms. */
  now(): number
  /** Calls `run` once at or after `atMs`; returns a function that takes it back. */
  schedule(atMs: number, run: () => void): () => void
}
