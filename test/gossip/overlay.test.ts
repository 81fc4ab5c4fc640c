/** The graph of neighbours: everybody draws the same one, it holds together, and a change moves few edges. */
import { describe, expect, test } from 'vitest'
import { Overlay, placesOf, ringNeighbours } from '../../gossip/overlay.ts'
import type { Placed } from '../../gossip/overlay.ts'
import { seededRandom } from './fixtures.ts'

const CONFIG = { overlayRings: 16, meshMembersMax: 64 }

function members(count: number, prefix = 'member'): Placed[] {
  return Array.from({ length: count }, (_, index) => ({
    id: `${prefix}-${index}`,
    places: placesOf(`${prefix}-${index}`),
  }))
}

/** What each of them sees if all see all. */
function graphOf(all: readonly Placed[]): Map<string, ReadonlySet<string>> {
  return new Map(all.map((member) => [member.id, ringNeighbours(member, all, CONFIG.overlayRings)]))
}

function edgesOf(graph: Map<string, ReadonlySet<string>>): Set<string> {
  return new Set([...graph].flatMap(([id, others]) => [...others].map((other) => `${id} ${other}`)))
}

/** Longest way from one member to any other; Infinity if there is none. */
function depthFrom(graph: Map<string, ReadonlySet<string>>, start: string): number {
  const seen = new Set([start])
  let frontier = [start]
  let depth = 0
  while (frontier.length > 0 && seen.size < graph.size) {
    frontier = frontier.flatMap((id) => [...graph.get(id)!]).filter((id) => !seen.has(id) && seen.add(id))
    depth++
  }
  return seen.size === graph.size ? depth : Infinity
}

describe('the rings', () => {
  test.each([65, 100, 300, 1_000])('link %i members: symmetric, of bounded degree, connected in few hops', (count) => {
    const graph = graphOf(members(count))
    for (const [id, others] of graph) {
      expect(others.has(id)).toBe(false)
      expect(others.size).toBeLessThanOrEqual(2 * CONFIG.overlayRings)
      expect(others.size).toBeGreaterThan(CONFIG.overlayRings)
      for (const other of others) expect(graph.get(other)!.has(id), `${id} and ${other}`).toBe(true)
    }
    for (const start of ['member-0', `member-${count - 1}`]) expect(depthFrom(graph, start)).toBeLessThanOrEqual(4)
  })

  test('hold together when a third of the members is gone at once, before anybody has noticed', () => {
    const graph = graphOf(members(1_000))
    const random = seededRandom(5)
    for (const id of graph.keys()) if (random() < 1 / 3) graph.delete(id)
    const living = new Map([...graph].map(([id, others]) => [id, new Set([...others].filter((o) => graph.has(o)))]))
    expect(depthFrom(living, [...living.keys()][0]!)).toBeLessThan(6)
  })

  test('change two edges per ring, seen from both ends, when one joins', () => {
    const before = members(300)
    const [newcomer] = members(1, 'newcomer')
    const old = edgesOf(graphOf(before))
    const next = edgesOf(graphOf([...before, newcomer!]))
    const lost = [...old].filter((edge) => !next.has(edge))
    const won = [...next].filter((edge) => !old.has(edge))
    expect(lost.length).toBeLessThanOrEqual(2 * CONFIG.overlayRings)
    expect(won.length).toBeLessThanOrEqual(4 * CONFIG.overlayRings)
    expect(won.every((edge) => edge.includes(newcomer!.id))).toBe(true)
  })
})

describe('an overlay kept up to date', () => {
  test('is the one drawn anew, through any joins and departures', () => {
    const random = seededRandom(7)
    const pool = members(400)
    const self = pool[0]!
    const others: Placed[] = []
    const overlay = new Overlay(self.id, others, { ...CONFIG, meshMembersMax: 20 })
    for (let step = 0; step < 2_000; step++) {
      const member = pool[1 + Math.floor(random() * 399)]!
      const at = others.indexOf(member)
      if (at < 0) {
        others.push(member)
        overlay.joined(member)
      } else if (random() < 0.7) {
        others.splice(at, 1)
        overlay.gone(member)
      }
      if (step % 10 > 0) continue
      const isMesh = others.length < 20
      const expected = isMesh ? new Set(others.map(({ id }) => id)) : ringNeighbours(self, others, CONFIG.overlayRings)
      expect(new Set(overlay.neighbours), `step ${step}`).toEqual(expected)
      for (const { id } of pool) expect(overlay.has(id)).toBe(expected.has(id))
    }
  })

  test('is the same list until it changes', () => {
    const others: Placed[] = []
    const overlay = new Overlay('self', others, CONFIG)
    for (const member of members(500)) {
      others.push(member)
      overlay.joined(member)
    }
    const before = overlay.neighbours
    const stranger = others.findIndex(({ id }) => !overlay.has(id))
    const [gone] = others.splice(stranger, 1)
    overlay.gone(gone!)
    expect(overlay.neighbours).toBe(before)
  })

  test.each([
    { name: 'up to the limit everybody', count: 63, neighbours: 63 },
    { name: 'above it a few', count: 64, neighbours: 32 },
  ])('$name', ({ count, neighbours }) => {
    const others = members(count)
    const overlay = new Overlay('self', others, CONFIG)
    for (const member of others) overlay.joined(member)
    expect(overlay.neighbours.length).toBeLessThanOrEqual(neighbours)
    const seen = overlay.neighboursOf(others[5]!)
    expect(seen.has(others[5]!.id)).toBe(false)
    expect(seen.has('self')).toBe(overlay.has(others[5]!.id))
  })
})
