/**
 * What the simulated network does to packets at this moment: who can reach whom, how many are lost, how long they take.
 * Hosts are numbers here.
 */
import { exponential } from './random.ts'
import type { Random } from './random.ts'

export interface Weather {
  /** One way, ms: the least … */
  latencyMs: number
  /** … and the mean of what queues add to it (exponential: bursts in front of us). */
  jitterMs: number
  /** Share of packets that are lost, 0 to 1. */
  loss: number
  /** Datagrams only: share that arrives twice. */
  duplicates: number
  /** Datagrams only: share that is overtaken, and by at most how much, ms. */
  reordered: number
  reorderMs: number
}

/** Hosts in several places: what the way between two of them adds, both ways alike. */
export interface Sites {
  /** Where each host is; any number. */
  siteOf: (host: number) => number
  /** One way, ms: the least, and the mean of what queues add to it (exponential). */
  latencyMs: number
  jitterMs: number
}

export class Conditions {
  readonly weather: Weather
  readonly random: Random
  readonly #hosts: number
  /** By from · hosts + to. */
  readonly #cuts = new Set<number>()
  readonly #pairLoss = new Map<number, number>()
  /** Side of each host in a partition. */
  readonly #side: Int32Array
  readonly #off: Uint8Array
  readonly #sites: Sites | undefined

  /** @param sites undefined: all hosts are in one place */
  constructor(hosts: number, weather: Weather, random: Random, sites?: Sites) {
    this.#hosts = hosts
    this.#sites = sites
    this.weather = weather
    this.random = random
    this.#side = new Int32Array(hosts)
    this.#off = new Uint8Array(hosts)
  }

  /** From `from` to `to` nothing passes; the other way is as before. */
  cut(from: number, to: number): void {
    this.#cuts.add(from * this.#hosts + to)
  }

  /** Hosts on different sides no longer reach each other. All are on side 0 to begin with. */
  setSide(host: number, side: number): void {
    this.#side[host] = side
  }

  /** Ends cuts, partitions and the loss of single pairs. */
  heal(): void {
    this.#cuts.clear()
    this.#pairLoss.clear()
    this.#side.fill(0)
  }

  /** Loss from `from` to `to` alone, instead of everybody's. */
  setPairLoss(from: number, to: number, loss: number): void {
    this.#pairLoss.set(from * this.#hosts + to, loss)
  }

  setPower(host: number, on: boolean): void {
    this.#off[host] = on ? 0 : 1
  }

  isOff(host: number): boolean {
    return this.#off[host] === 1
  }

  /** Nothing that `from` sends now arrives at `to`. */
  isBlocked(from: number, to: number): boolean {
    if (this.#off[from] === 1 || this.#off[to] === 1 || this.#side[from] !== this.#side[to]) return true
    return this.#cuts.size > 0 && this.#cuts.has(from * this.#hosts + to)
  }

  /** Draws whether one packet is lost on its way. */
  isLost(from: number, to: number): boolean {
    const own = this.#pairLoss.size === 0 ? undefined : this.#pairLoss.get(from * this.#hosts + to)
    const loss = own ?? this.weather.loss
    return loss > 0 && this.random() < loss
  }

  /** Draws how long one packet takes, ms. */
  delayMs(from: number, to: number): number {
    const sites = this.#farSites(from, to)
    const farMs = sites === undefined ? 0 : sites.latencyMs + exponential(this.random, sites.jitterMs)
    return this.weather.latencyMs + exponential(this.random, this.weather.jitterMs) + farMs
  }

  /** What a round trip adds to the least time after which TCP retransmits, ms (RFC 6298: RTO = SRTT + …). */
  farRoundTripMs(from: number, to: number): number {
    const sites = this.#farSites(from, to)
    return sites === undefined ? 0 : 2 * (sites.latencyMs + sites.jitterMs)
  }

  /** Undefined: both are in one place. */
  #farSites(from: number, to: number): Sites | undefined {
    const sites = this.#sites
    return sites === undefined || sites.siteOf(from) === sites.siteOf(to) ? undefined : sites
  }
}
