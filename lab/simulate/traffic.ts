/**
 * Bytes that a member sends and receives: what gossip itself wrote (payload), and an estimate of what that is on the
 * wire with libp2p over TCP over Ethernet. The constants are what every frame on the interface of one of five idle
 * daemons added up to, in 30 s: 10.1 messages a second of 54 bytes on average (1,550 B/s), 7.6 bare acknowledgements
 * (500 B/s), and ARP (25 B/s), which is not estimated here. Sent and received alike.
 *
 *     Ethernet 14 │ IPv4 20 │ TCP 32 │ noise 2 │ yamux 12 │ ours 4 │ message … │ noise 16          one segment
 */

/** Length prefix of our framing (gossip/framing.ts). */
const FRAMING_BYTES = 4
/** Noise's length prefix, and ChaCha20-Poly1305's tag. */
const NOISE_BYTES = 2 + 16
/** Header of one yamux data frame. Window updates are held back until they are too few to count. */
const YAMUX_BYTES = 12
/** Ethernet 14, IPv4 20, TCP 20 with 12 of timestamps. */
const PACKET_BYTES = 66
/**
 * Bare acknowledgements per message. Of the two messages of an exchange the second is always acknowledged alone, since
 * nothing follows it; the first is so about every other time, for Linux acknowledges at once what comes after a pause.
 */
const ACKS_PER_FRAME = 0.75
const ACK_BYTES_PER_FRAME = ACKS_PER_FRAME * PACKET_BYTES
/** TCP, private network, noise, yamux and a stream, per direction: some 400 bytes in seven or eight segments, and ACKs. */
const HANDSHAKE_BYTES = 1_300
/** A SYN, a RST or a FIN. */
const CONTROL_BYTES = PACKET_BYTES
/** What fits into one packet of Ethernet. */
const SEGMENT_BYTES = 1_448

export interface TrafficTotals {
  payloadSent: number
  payloadReceived: number
  wireSent: number
  wireReceived: number
  framesSent: number
  framesReceived: number
}

export class Traffic {
  readonly #payloadSent: Float64Array
  readonly #payloadReceived: Float64Array
  readonly #wireSent: Float64Array
  readonly #wireReceived: Float64Array
  readonly #framesSent: Float64Array
  readonly #framesReceived: Float64Array

  constructor(hosts: number) {
    this.#payloadSent = new Float64Array(hosts)
    this.#payloadReceived = new Float64Array(hosts)
    this.#wireSent = new Float64Array(hosts)
    this.#wireReceived = new Float64Array(hosts)
    this.#framesSent = new Float64Array(hosts)
    this.#framesReceived = new Float64Array(hosts)
  }

  /** A frame was handed to the network, which put it on the wire so many times. */
  sent(from: number, payloadBytes: number, transmissions: number): void {
    this.#payloadSent[from]! += payloadBytes
    this.#framesSent[from]!++
    this.#wireSent[from]! += wireBytes(payloadBytes) * transmissions
  }

  received(from: number, to: number, payloadBytes: number): void {
    this.#payloadReceived[to]! += payloadBytes
    this.#framesReceived[to]!++
    this.#wireReceived[to]! += wireBytes(payloadBytes)
    this.#wireSent[to]! += ACK_BYTES_PER_FRAME
    this.#wireReceived[from]! += ACK_BYTES_PER_FRAME
  }

  control(from: number, to: number): void {
    this.#wireSent[from]! += CONTROL_BYTES
    this.#wireReceived[to]! += CONTROL_BYTES
  }

  handshake(a: number, b: number): void {
    for (const host of [a, b]) {
      this.#wireSent[host]! += HANDSHAKE_BYTES
      this.#wireReceived[host]! += HANDSHAKE_BYTES
    }
  }

  of(host: number): TrafficTotals {
    return {
      payloadSent: this.#payloadSent[host]!,
      payloadReceived: this.#payloadReceived[host]!,
      wireSent: this.#wireSent[host]!,
      wireReceived: this.#wireReceived[host]!,
      framesSent: this.#framesSent[host]!,
      framesReceived: this.#framesReceived[host]!,
    }
  }

  totals(): TrafficTotals {
    return {
      payloadSent: sum(this.#payloadSent),
      payloadReceived: sum(this.#payloadReceived),
      wireSent: sum(this.#wireSent),
      wireReceived: sum(this.#wireReceived),
      framesSent: sum(this.#framesSent),
      framesReceived: sum(this.#framesReceived),
    }
  }
}

function wireBytes(payloadBytes: number): number {
  const segments = Math.max(1, Math.ceil(payloadBytes / SEGMENT_BYTES))
  return payloadBytes + FRAMING_BYTES + NOISE_BYTES + YAMUX_BYTES + segments * PACKET_BYTES
}

function sum(values: Float64Array): number {
  return values.reduce((whole, value) => whole + value, 0)
}
