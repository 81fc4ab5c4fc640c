/**
 * Small numbers for members: flow entries and rings hold an index instead of an identity. An index that is given to
 * another member gets a new generation, so that old flow entries never follow it. Pure, bounded.
 */

export interface IndexedMember {
  index: number
  generation: number
}

export class MemberIndex {
  readonly #max: number
  readonly #byId = new Map<string, IndexedMember>()
  readonly #generations: number[] = []
  readonly #free: number[] = []

  /** @param max most indices, as many as an engine's arrays hold */
  constructor(max: number) {
    this.#max = max
  }

  /** The member's index, given out if it has none; undefined when all are in use. */
  take(id: string): IndexedMember | undefined {
    const known = this.#byId.get(id)
    if (known !== undefined) return known
    const index = this.#free.shift() ?? this.#generations.length
    if (index >= this.#max) return undefined
    const generation = (this.#generations[index] ?? 0) + 1
    this.#generations[index] = generation
    const given = Object.freeze({ index, generation })
    this.#byId.set(id, given)
    return given
  }

  /** Gives back the indices of all members that are not listed. The oldest free index is used again first. */
  keepOnly(ids: ReadonlySet<string>): void {
    for (const [id, { index }] of this.#byId) {
      if (ids.has(id)) continue
      this.#byId.delete(id)
      this.#free.push(index)
    }
  }
}
