/**
 * Who says "this address is at my MAC", and when (RFC 826; gratuitous forms RFC 5227, section 3). Pure: ARP frames and
 * the time in, ARP frames out.
 *
 * The kernel itself is silent about published addresses (arp_ignore); if daemon or worker dies, so do the answers.
 */
import {
  ARP_REPLY,
  ARP_REQUEST,
  arpAnswer,
  askGateway,
  gratuitousReply,
  gratuitousRequest,
  parseArp,
} from './packet/arp.ts'

/** Defence against a stranger's answer: at most once a second per address; after five only reported. */
const DEFENCE_EVERY_MS = 1_000
const DEFENCES_MAX = 5

interface Announced {
  sinceMs: number
  sent: number
  nextMs: number
  defences: number
  defendedMs: number
}

/** A link on which addresses are announced. */
export interface AnnouncerLink {
  mac: Uint8Array
  /** Node address on this link: its neighbours ask from there, not from a published address. */
  address: number
  /** On-link routers, which must learn an address first of all. */
  gateways: readonly number[]
}

/** When an address is announced. */
export interface AnnounceSchedule {
  /** After it was taken over, ms; the first is usually 0. */
  scheduleMs: readonly number[]
  /** Then for ever, because switches age their tables, ms. */
  everyMs: number
}

export interface ArpOutcome {
  /** Frame to send on the link, if any. */
  answer?: Uint8Array
  /** A stranger claims an address of ours. */
  conflict: boolean
}

export class Announcer {
  readonly #link: AnnouncerLink
  readonly #scheduleMs: readonly number[]
  readonly #everyMs: number
  readonly #addresses = new Map<number, Announced>()

  constructor(link: AnnouncerLink, { scheduleMs, everyMs }: AnnounceSchedule) {
    this.#link = link
    this.#scheduleMs = scheduleMs
    this.#everyMs = everyMs
  }

  /** Takes the set of addresses that this host announces from now on. */
  update(addresses: ReadonlySet<number>, nowMs: number): void {
    for (const address of this.#addresses.keys()) if (!addresses.has(address)) this.#addresses.delete(address)
    for (const address of addresses) {
      if (this.#addresses.has(address)) continue
      this.#addresses.set(address, {
        sinceMs: nowMs,
        sent: 0,
        nextMs: nowMs,
        defences: 0,
        defendedMs: -Infinity,
      })
    }
  }

  /** After an interruption (a lapsed lease) everything is announced anew. */
  restart(nowMs: number): void {
    for (const state of this.#addresses.values()) {
      state.sinceMs = nowMs
      state.sent = 0
      state.nextMs = nowMs
    }
  }

  /** Frames that are due. */
  due(nowMs: number): Uint8Array[] {
    const { mac, gateways } = this.#link
    const frames: Uint8Array[] = []
    for (const [address, state] of this.#addresses) {
      if (state.nextMs > nowMs) continue
      frames.push(gratuitousRequest(mac, address), gratuitousReply(mac, address))
      const early = state.sent < this.#scheduleMs.length
      if (early) for (const gateway of gateways) frames.push(askGateway(mac, address, gateway))
      state.sent++
      const next = this.#scheduleMs[state.sent]
      state.nextMs = next === undefined ? nowMs + this.#everyMs : state.sinceMs + next
    }
    return frames
  }

  /** When frames are due next; Infinity if nothing is announced. */
  nextMs(): number {
    let next = Infinity
    for (const state of this.#addresses.values()) next = Math.min(next, state.nextMs)
    return next
  }

  /** What to do about a frame that arrived on the link. Only for frames to our own MAC or to everybody. */
  receive(frame: Uint8Array, nowMs: number): ArpOutcome {
    const { mac } = this.#link
    const message = parseArp(frame)
    if (message === undefined) return { conflict: false }
    const ours = message.senderMac.every((byte, i) => byte === mac[i])
    const claimed = ours ? undefined : this.#addresses.get(message.sender)
    if (claimed !== undefined && (message.operation === ARP_REQUEST || message.operation === ARP_REPLY)) {
      return this.#defend(message.sender, claimed, nowMs)
    }
    if (message.operation === ARP_REQUEST && this.#addresses.has(message.target)) {
      return { answer: arpAnswer(mac, message.target, message), conflict: false }
    }
    return { conflict: false }
  }

  #defend(address: number, state: Announced, nowMs: number): ArpOutcome {
    if (state.defences >= DEFENCES_MAX || nowMs - state.defendedMs < DEFENCE_EVERY_MS) return { conflict: true }
    state.defences++
    state.defendedMs = nowMs
    return { answer: gratuitousReply(this.#link.mac, address), conflict: true }
  }
}
