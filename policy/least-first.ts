/** A queue of numbers from which the least comes out first: a binary heap (Williams 1964) of a fixed size at most. */
export class LeastFirst {
  readonly #heap: Float64Array
  #size = 0

  constructor(sizeMax: number) {
    this.#heap = new Float64Array(sizeMax)
  }

  get size(): number {
    return this.#size
  }

  /** No more than `sizeMax` at a time. */
  push(value: number): void {
    const heap = this.#heap
    let place = this.#size++
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (heap[parent]! <= value) break
      heap[place] = heap[parent]!
      place = parent
    }
    heap[place] = value
  }

  /** Undefined if it is empty. */
  take(): number | undefined {
    if (this.#size === 0) return undefined
    const heap = this.#heap
    const least = heap[0]!
    const size = --this.#size
    const last = heap[size]!
    let place = 0
    for (let child = 1; child < size; child = 2 * place + 1) {
      if (child + 1 < size && heap[child + 1]! < heap[child]!) child++
      if (heap[child]! >= last) break
      heap[place] = heap[child]!
      place = child
    }
    heap[place] = last
    return least
  }
}
