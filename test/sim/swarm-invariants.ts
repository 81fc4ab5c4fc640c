/**
 * What must hold in every history, whatever happens to members and network. Each bound is the sum of what the protocol
 * may take, one after the other, with the configuration's own numbers:
 *
 *     noticed     a round of probes twice over (2 · (n − 1) · interval: SWIM's worst case) + a probe's last word at full
 *                 awareness + the longest suspicion + introduction, which a dial's failure ends + self-doubt + the spread
 *                 of a rumour
 *     recovered   two dials in a row that just missed (backoff at most + 20 %, and a timeout) + a round of probes
 *
 * They count from the last thing that could have brought old news: a healing, the end of somebody's pause, a start.
 */
import type { GossipConfig } from '../../gossip/config.ts'
import type { RecordedEvent, SimulatedCluster } from '../../lab/simulate/cluster.ts'

export class Violation extends Error {
  override readonly name = 'Violation'
}

const SPREAD_MS = 500
const REDIAL_JITTER = 1.2
/** Up to this loss a network counts as healed. */
const LOSS_HEALED_MAX = 0.05
/** Bounds of what a member holds and does, per other member. */
const CONNECTIONS_PER_MEMBER_MAX = 4
const FRAMES_PER_SECOND_MAX = 300

export function noticedMs(config: GossipConfig, members: number): number {
  const { probeIntervalMs, probeFinalMs, awarenessMax, suspicionMinMs, suspicionMaxFactor } = config
  const round = 2 * (members - 1) * probeIntervalMs
  const suspicion = (awarenessMax + 1) * probeFinalMs + suspicionMinMs * suspicionMaxFactor
  const introduction = Math.min(config.introductionMs, config.dialTimeoutMs)
  return round + suspicion + introduction + config.unsureMs + SPREAD_MS
}

export function recoveredMs(config: GossipConfig, members: number): number {
  const dial = REDIAL_JITTER * config.redialMaxMs + config.dialTimeoutMs
  return 2 * dial + 2 * (members - 1) * config.probeIntervalMs + SPREAD_MS
}

interface Fate {
  /** Runs since; undefined: does not run, and since when. */
  upSinceMs: number | undefined
  downSinceMs: number
  /** Its last pause ends. */
  awakeFromMs: number
  /** Highest incarnation seen of each other member in this life. */
  highest: Map<number, number>
  own: number
}

export class Invariants {
  readonly #cluster: SimulatedCluster
  readonly #fates: Fate[]
  readonly #noticedMs: number
  readonly #recoveredMs: number
  /** Nothing is cut, and little is lost, since; Infinity: it is not so. */
  #healedSinceMs = 0
  #isCut = false
  #loss = 0
  /** When old news may last have come. */
  #newsMs = 0
  #wrongDeaths = 0
  #frames = 0
  #checkedMs = 0

  constructor(cluster: SimulatedCluster) {
    this.#cluster = cluster
    this.#noticedMs = noticedMs(cluster.config, cluster.size)
    this.#recoveredMs = recoveredMs(cluster.config, cluster.size)
    this.#fates = Array.from({ length: cluster.size }, () => ({
      upSinceMs: undefined,
      downSinceMs: 0,
      awakeFromMs: 0,
      highest: new Map<number, number>(),
      own: 0,
    }))
    cluster.onEvent((event) => this.#note(event))
    this.look()
  }

  /** After this time without further trouble, everything has to be well. */
  get quietMs(): number {
    return Math.max(this.#noticedMs, this.#recoveredMs)
  }

  // -- what is done to the cluster --------------------------------------------------------------------------------------

  paused(member: number, ms: number): void {
    const fate = this.#fates[member]!
    fate.awakeFromMs = Math.max(fate.awakeFromMs, this.#cluster.nowMs + ms)
  }

  cut(): void {
    this.#isCut = true
    this.#weatherChanged()
  }

  healed(): void {
    this.#isCut = false
    this.#newsMs = this.#cluster.nowMs
    this.#weatherChanged()
  }

  lossSet(loss: number): void {
    this.#loss = loss
    this.#weatherChanged()
  }

  #weatherChanged(): void {
    const isHealed = !this.#isCut && this.#loss <= LOSS_HEALED_MAX
    if (!isHealed) this.#healedSinceMs = Infinity
    else if (this.#healedSinceMs === Infinity) this.#healedSinceMs = this.#cluster.nowMs
  }

  /** Who runs may have changed. */
  look(): void {
    const { nowMs } = this.#cluster
    for (const [member, fate] of this.#fates.entries()) {
      const up = this.#cluster.isUp(member)
      if (up && fate.upSinceMs === undefined) {
        Object.assign(fate, { upSinceMs: nowMs, awakeFromMs: nowMs, highest: new Map(), own: 0 })
        this.#newsMs = nowMs
      } else if (!up && fate.upSinceMs !== undefined) {
        Object.assign(fate, { upSinceMs: undefined, downSinceMs: nowMs })
      }
    }
  }

  /** A life ended and another began between two looks. */
  reborn(member: number): void {
    Object.assign(this.#fates[member]!, { upSinceMs: undefined, downSinceMs: this.#cluster.nowMs })
    this.look()
  }

  // -- what must hold -----------------------------------------------------------------------------------------------------

  /** @throws Violation */
  check(): void {
    this.look()
    const { nowMs } = this.#cluster
    for (const [viewer, fate] of this.#fates.entries()) {
      if (fate.upSinceMs === undefined || fate.awakeFromMs > nowMs) continue
      for (const subject of this.#fates.keys()) if (subject !== viewer) this.#checkPair(viewer, subject)
      this.#checkHoldings(viewer, fate)
    }
    this.#checkWrongDeaths()
    this.#checkEffort()
  }

  /** Nothing has happened for `quietMs`. @throws Violation */
  checkFinally(): void {
    this.check()
    if (!this.#cluster.converged()) throw new Violation('the views have not converged')
    for (const [subject, { upSinceMs }] of this.#fates.entries()) {
      const views = this.#cluster.up().map((viewer) => this.#cluster.view(viewer, subject))
      const facts = new Set(views.map((view) => view && `${view.facts.incarnation} ${view.facts.capacity}`))
      if (upSinceMs !== undefined && facts.size > 1) {
        throw new Violation(`the views of ${subject} differ: ${[...facts].join(', ')}`)
      }
    }
  }

  #checkPair(viewer: number, subject: number): void {
    const { nowMs } = this.#cluster
    const seen = this.#cluster.seen(viewer, subject)
    const [from, of] = [this.#fates[viewer]!, this.#fates[subject]!]
    const quietSinceMs = Math.max(from.awakeFromMs, this.#newsMs, this.#lastAwakening())
    if (of.upSinceMs === undefined) {
      const sinceMs = Math.max(of.downSinceMs, quietSinceMs)
      if ((seen === 'alive' || seen === 'suspect') && nowMs - sinceMs > this.#noticedMs) {
        throw new Violation(
          `${viewer} sees ${subject} ${seen}, which is gone for ${Math.round(nowMs - of.downSinceMs)} ms`,
        )
      }
      return
    }
    const sinceMs = Math.max(of.upSinceMs, of.awakeFromMs, quietSinceMs, this.#healedSinceMs)
    if (seen !== 'alive' && seen !== 'suspect' && nowMs - sinceMs > this.#recoveredMs) {
      throw new Violation(`${viewer} sees ${subject} ${seen}, which is there for ${Math.round(nowMs - sinceMs)} ms`)
    }
  }

  /** When the last of those that were paused went on. */
  #lastAwakening(): number {
    const { nowMs } = this.#cluster
    const awakenings = this.#fates.map(({ upSinceMs, awakeFromMs }) => (upSinceMs === undefined ? 0 : awakeFromMs))
    return Math.max(...awakenings.map((atMs) => (atMs > nowMs ? nowMs : atMs)))
  }

  /** Also those that were put right before anybody looked. */
  #checkWrongDeaths(): void {
    const deaths = this.#cluster.wrongDeaths()
    for (; this.#wrongDeaths < deaths.length; this.#wrongDeaths++) {
      const { viewer, subject, atMs } = deaths[this.#wrongDeaths]!
      const [from, of] = [this.#fates[viewer]!, this.#fates[subject]!]
      if (from.upSinceMs === undefined || of.upSinceMs === undefined) continue
      const quietSinceMs = Math.max(this.#healedSinceMs, this.#newsMs, ...this.#fates.map((fate) => fate.awakeFromMs))
      if (atMs - Math.max(quietSinceMs, from.upSinceMs, of.upSinceMs) > this.#recoveredMs) {
        throw new Violation(`${viewer} declared ${subject} dead at ${Math.round(atMs)} ms, which was well`)
      }
    }
  }

  #checkHoldings(viewer: number, fate: Fate): void {
    const { size } = this.#cluster
    const members = this.#cluster.members(viewer)
    const { connections, addresses } = this.#cluster.peer(viewer).counters()
    if (members.length > size) throw new Violation(`${viewer} knows ${members.length} members of ${size}`)
    if (connections > CONNECTIONS_PER_MEMBER_MAX * size) throw new Violation(`${viewer} has ${connections} connections`)
    if (addresses > 2 * size) throw new Violation(`${viewer} dials ${addresses} addresses`)
    const own = members.find(({ self }) => self)!.facts.incarnation
    if (own < fate.own) throw new Violation(`the incarnation of ${viewer} fell from ${fate.own} to ${own}`)
    fate.own = own
  }

  #checkEffort(): void {
    const { nowMs, size } = this.#cluster
    const { framesSent } = this.#cluster.traffic()
    // A second more: news come in bursts.
    const allowed = FRAMES_PER_SECOND_MAX * size * ((nowMs - this.#checkedMs) / 1_000 + 1)
    if (framesSent - this.#frames > allowed) throw new Violation(`${framesSent - this.#frames} frames in one step`)
    this.#frames = framesSent
    this.#checkedMs = nowMs
  }

  #note({ viewer, subject, event }: RecordedEvent): void {
    if (subject === undefined) return
    const { highest } = this.#fates[viewer]!
    if (event.type === 'forgotten') highest.delete(subject)
    if (event.type !== 'joined' && event.type !== 'status' && event.type !== 'facts') return
    const { incarnation } = event.member.facts
    const before = highest.get(subject) ?? 0
    if (incarnation < before) {
      throw new Violation(`${viewer} went back from incarnation ${before} of ${subject} to ${incarnation}`)
    }
    highest.set(subject, incarnation)
  }
}
