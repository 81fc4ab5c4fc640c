/**
 * Who keeps a connection to whom. Up to `meshMembersMax` members everybody to everybody. Above that, K rings as in Rapid
 * (Suresh et al., USENIX ATC 2018, section 4.1): ring r orders the members by a hash of (r, id), and each member is
 * linked to its predecessor and successor on every ring. So all who see the same members see the same graph; it is
 * symmetric, of degree ≤ 2K, and an expander (a union of random cycles), which is why rumours cross it in a few hops.
 * A join or a departure moves two edges per ring.
 *
 * A node keeps only its own 2K places: a newcomer is compared with them in O(K); only when one of them goes is that
 * ring searched anew, in O(N).
 */

/** What the overlay needs to know of a member. */
export interface Placed {
  readonly id: string
  /** `placesOf(id)`. */
  readonly places: Uint32Array
}

/** Most rings that a configuration may ask for; places are computed for all of them once. */
export const RINGS_MAX = 16

/** Places kept computed, because a process may hold many overlays; above this the oldest is dropped. */
const PLACES_KEPT_MAX = 4_096
const placesKept = new Map<string, Uint32Array>()

/** The member's place on each ring. Anybody computes the same from the id alone. */
export function placesOf(id: string): Uint32Array {
  const kept = placesKept.get(id)
  if (kept !== undefined) return kept
  const places = new Uint32Array(RINGS_MAX)
  for (let ring = 0; ring < RINGS_MAX; ring++) {
    // FNV-1a with the ring as its first word, then the finalizer of MurmurHash3: neighbours on one ring are strangers on the next.
    let hash = Math.imul(0x811c9dc5 ^ ring, 0x01000193)
    for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193)
    hash = Math.imul(hash ^ (hash >>> 16) ^ Math.imul(ring, 0x9e3779b1), 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
    places[ring] = hash ^ (hash >>> 16)
  }
  const oldest = placesKept.size >= PLACES_KEPT_MAX ? placesKept.keys().next().value : undefined
  if (oldest !== undefined) placesKept.delete(oldest)
  placesKept.set(id, places)
  return places
}

/** Whether `a` comes before `b` on the ring, going up from `from`. Equal places are ordered by id. */
function precedes(ring: number, from: Placed, a: Placed, b: Placed): boolean {
  const toA = distance(ring, from, a)
  const toB = distance(ring, from, b)
  return toA === toB ? a.id < b.id : toA < toB
}

function distance(ring: number, from: Placed, to: Placed): number {
  const steps = (to.places[ring]! - from.places[ring]!) >>> 0
  return steps === 0 && to.id < from.id ? 2 ** 32 : steps
}

/**
 * The neighbours of any member on the rings: what it would call its own, if it saw these members. In one go through them
 * for all rings.
 */
export function ringNeighbours(of: Placed, members: readonly Placed[], rings: number): Set<string> {
  const firstSteps = new Float64Array(rings).fill(Infinity)
  const lastSteps = new Float64Array(rings).fill(-1)
  const first = Array.from<Placed | undefined>({ length: rings })
  const last = Array.from<Placed | undefined>({ length: rings })
  for (const member of members) {
    if (member.id === of.id) continue
    for (let ring = 0; ring < rings; ring++) {
      const steps = distance(ring, of, member)
      if (steps < firstSteps[ring]! || (steps === firstSteps[ring]! && member.id < first[ring]!.id)) {
        firstSteps[ring] = steps
        first[ring] = member
      }
      if (steps > lastSteps[ring]! || (steps === lastSteps[ring]! && member.id > last[ring]!.id)) {
        lastSteps[ring] = steps
        last[ring] = member
      }
    }
  }
  const found = new Set<string>()
  for (let ring = 0; ring < rings; ring++) {
    const [successor, predecessor] = [first[ring], last[ring]]
    if (successor !== undefined) found.add(successor.id)
    if (predecessor !== undefined) found.add(predecessor.id)
  }
  return found
}

/** The first (or last) member met when going up the ring from `of`. */
function extreme(ring: number, of: Placed, members: readonly Placed[], first: boolean): Placed | undefined {
  let best: Placed | undefined
  for (const member of members) {
    if (member.id === of.id) continue
    if (best === undefined || precedes(ring, of, member, best) === first) best = member
  }
  return best
}

export class Overlay {
  readonly #self: Placed
  readonly #rings: number
  readonly #meshMembersMax: number
  /** Everybody else who is present; owned and kept up to date by the caller. */
  readonly #others: readonly Placed[]
  readonly #successors: (Placed | undefined)[]
  readonly #predecessors: (Placed | undefined)[]
  #neighbours: readonly string[] | undefined
  #neighbourSet: ReadonlySet<string> = new Set()

  constructor(selfId: string, others: readonly Placed[], config: { overlayRings: number; meshMembersMax: number }) {
    this.#self = { id: selfId, places: placesOf(selfId) }
    this.#others = others
    this.#rings = config.overlayRings
    this.#meshMembersMax = config.meshMembersMax
    this.#successors = Array.from<undefined>({ length: this.#rings })
    this.#predecessors = Array.from<undefined>({ length: this.#rings })
  }

  /** To be called after the member was added to the others. */
  joined(member: Placed): void {
    let moved = this.#isMesh(this.#others.length) || this.#isMesh(this.#others.length - 1)
    for (let ring = 0; ring < this.#rings; ring++) {
      const successor = this.#successors[ring]
      if (successor === undefined || precedes(ring, this.#self, member, successor)) {
        this.#successors[ring] = member
        moved = true
      }
      const predecessor = this.#predecessors[ring]
      if (predecessor === undefined || precedes(ring, this.#self, predecessor, member)) {
        this.#predecessors[ring] = member
        moved = true
      }
    }
    if (moved) this.#neighbours = undefined
  }

  /** To be called after the member was removed from the others. */
  gone(member: Placed): void {
    let moved = this.#isMesh(this.#others.length)
    for (let ring = 0; ring < this.#rings; ring++) {
      if (this.#successors[ring] === member) {
        this.#successors[ring] = extreme(ring, this.#self, this.#others, true)
        moved = true
      }
      if (this.#predecessors[ring] === member) {
        this.#predecessors[ring] = extreme(ring, this.#self, this.#others, false)
        moved = true
      }
    }
    if (moved) this.#neighbours = undefined
  }

  /** The same array until the neighbours change. */
  get neighbours(): readonly string[] {
    if (this.#neighbours === undefined) {
      this.#neighbourSet = new Set(
        this.#isMesh(this.#others.length)
          ? this.#others.map((member) => member.id)
          : [...this.#successors, ...this.#predecessors].flatMap((member) => member?.id ?? []),
      )
      this.#neighbours = Object.freeze([...this.#neighbourSet])
    }
    return this.#neighbours
  }

  has(id: string): boolean {
    return this.neighbours.length > 0 && this.#neighbourSet.has(id)
  }

  /** Neighbours of another member, as far as this view tells. O(K·N) above the mesh: not for every message. */
  neighboursOf(member: Placed): Set<string> {
    if (!this.#isMesh(this.#others.length)) return ringNeighbours(member, [this.#self, ...this.#others], this.#rings)
    const ids = new Set(this.#others.map((other) => other.id))
    ids.delete(member.id)
    return ids.add(this.#self.id)
  }

  /** `others` members besides this one. */
  #isMesh(others: number): boolean {
    return others + 1 <= this.#meshMembersMax
  }
}
