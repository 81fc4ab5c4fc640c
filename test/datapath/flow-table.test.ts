import { describe, expect, it } from 'vitest'
import * as flow from '../../datapath/flow-table.ts'
import { sipKey } from '../../datapath/siphash.ts'
import { mulberry32 } from '../../lab/load.ts'

const KEY = sipKey(new Uint8Array(16).fill(3))

function table(capacity: number): { flows: flow.FlowTable; moves: Map<string, number> } {
  const moves = new Map<string, number>()
  const flows: flow.FlowTable = new flow.FlowTable(capacity, KEY, {
    moved(entry, from, to) {
      const destination = flows.destination[entry]!
      const add = (state: number, by: number): void => {
        if (state === flow.FREE) return
        const key = `${destination}/${state}`
        moves.set(key, (moves.get(key) ?? 0) + by)
      }
      add(from, -1)
      add(to, 1)
    },
  })
  return { flows, moves }
}

/** Client n's flow: address n, port n mod 60,000. */
function insert(flows: flow.FlowTable, n: number, state: number, destination: number, nowMs: number): number {
  const ports = (((n % 60_000) << 16) | 80) >>> 0
  return flows.insert(flows.hashOf(n, 1, ports, 6), n, 1, ports, 6, state, destination, 1, nowMs)
}

function find(flows: flow.FlowTable, n: number): number {
  const ports = (((n % 60_000) << 16) | 80) >>> 0
  return flows.find(flows.hashOf(n, 1, ports, 6), n, 1, ports, 6)
}

describe('flow table', () => {
  it('agrees with a plain map through 30,000 random operations', () => {
    const seed = 20_261_122
    const random = mulberry32(seed)
    const { flows, moves } = table(512)
    const model = new Map<number, { state: number; destination: number; touched: number }>()
    let now = 0
    const isHalfOpen = (state: number): boolean => state === flow.YOUNG || state === flow.HALF_OPEN
    for (let step = 0; step < 30_000; step++) {
      const n = Math.floor(random() * 700)
      const entry = find(flows, n)
      const known = model.get(n)
      expect(entry >= 0, `seed ${seed}, step ${step}: presence of flow ${n}`).toBe(known !== undefined)
      if (known !== undefined) {
        expect([flows.state[entry], flows.destination[entry]]).toEqual([known.state, known.destination])
      }
      const dice = random()
      if (known === undefined && dice < 0.6) {
        const halfOpen = [...model.values()].filter(({ state }) => isHalfOpen(state)).length
        if (halfOpen < 100 && model.size < 500) {
          const destination = random() < 0.5 ? flow.LOCAL : Math.floor(random() * 4)
          insert(flows, n, dice < 0.3 ? flow.HALF_OPEN : flow.ESTABLISHED, destination, now)
          model.set(n, { state: dice < 0.3 ? flow.HALF_OPEN : flow.ESTABLISHED, destination, touched: now })
        }
      } else if (known !== undefined && dice < 0.25) {
        flows.remove(entry)
        model.delete(n)
      } else if (known !== undefined && dice < 0.5) {
        known.state = [flow.HALF_OPEN, flow.ESTABLISHED, flow.FIN, flow.RST][Math.floor(random() * 4)]!
        known.touched = now
        flows.setState(entry, known.state, now)
      } else if (known !== undefined) {
        known.touched = now
        flows.touch(entry, now)
      }
      if (random() < 0.01) {
        now += random() * 20_000
        flows.expire(now)
        for (const [id, { state, touched }] of model) {
          const gone = find(flows, id) < 0
          // Never early; late by at most a sixteenth of the timeout, plus one round of looking.
          if (touched + flow.FLOW_TIMEOUT_MS[state]! > now)
            expect(gone, `seed ${seed}: flow ${id} dropped early`).toBe(false)
          if (gone) model.delete(id)
        }
      }
      expect(flows.entries).toBe(model.size)
    }
    const counted = new Map<string, number>()
    for (const { state, destination } of model.values()) {
      const key = `${destination}/${state}`
      counted.set(key, (counted.get(key) ?? 0) + 1)
    }
    expect(new Map([...moves].filter(([, count]) => count !== 0))).toEqual(counted)
  })

  it('expires each state after its own timeout, and not before', () => {
    for (const [state, timeout] of [
      [flow.HALF_OPEN, 60_000],
      [flow.ESTABLISHED, 8_100_000],
      [flow.FIN, 120_000],
      [flow.RST, 10_000],
    ] as const) {
      const { flows } = table(64)
      insert(flows, 1, state, flow.LOCAL, 0)
      flows.expire(timeout - 1)
      expect(find(flows, 1), `state ${state} just before`).toBeGreaterThanOrEqual(0)
      flows.expire(timeout)
      expect(find(flows, 1), `state ${state} at its timeout`).toBe(-1)
    }
  })

  it('lets a young flow grow half-open after a second, and expire a minute after its SYN', () => {
    const { flows, moves } = table(64)
    insert(flows, 1, flow.YOUNG, flow.LOCAL, 0)
    flows.expire(999)
    expect(moves.get(`${flow.LOCAL}/${flow.YOUNG}`)).toBe(1)
    flows.expire(1_000)
    expect(moves.get(`${flow.LOCAL}/${flow.YOUNG}`)).toBe(0)
    expect(moves.get(`${flow.LOCAL}/${flow.HALF_OPEN}`)).toBe(1)
  })

  it('keeps an established flow alive through keep-alive probes for days', () => {
    const { flows } = table(64)
    insert(flows, 1, flow.ESTABLISHED, flow.LOCAL, 0)
    const twoHours = 7_200_000
    for (let now = twoHours; now < 7 * 86_400_000; now += twoHours) {
      flows.expire(now)
      const entry = find(flows, 1)
      expect(entry, `after ${now / 3_600_000} h`).toBeGreaterThanOrEqual(0)
      flows.touch(entry, now)
    }
  })

  it('bounds half-open flows to a quarter: the oldest gives way, established ones stay', () => {
    const { flows } = table(1_024)
    for (let n = 0; n < 500; n++) insert(flows, n, flow.ESTABLISHED, flow.LOCAL, 0)
    for (let n = 1_000; n < 101_000; n++) insert(flows, n, flow.YOUNG, flow.LOCAL, n / 100)
    expect(flows.count(flow.YOUNG) + flows.count(flow.HALF_OPEN)).toBe(256)
    expect(flows.count(flow.ESTABLISHED)).toBe(500)
    expect(flows.evicted).toBe(100_000 - 256)
    expect(find(flows, 100_999)).toBeGreaterThanOrEqual(0)
    for (let n = 0; n < 500; n++) expect(find(flows, n)).toBeGreaterThanOrEqual(0)
  })

  it('refuses when it is full, and takes again when a flow has gone', () => {
    const { flows } = table(16)
    for (let n = 0; n < 16; n++) expect(insert(flows, n, flow.ESTABLISHED, flow.LOCAL, 0)).toBeGreaterThanOrEqual(0)
    expect(flows.full).toBe(true)
    expect(insert(flows, 99, flow.ESTABLISHED, flow.LOCAL, 0)).toBe(-1)
    flows.remove(find(flows, 7))
    expect(flows.full).toBe(false)
    expect(insert(flows, 99, flow.ESTABLISHED, flow.LOCAL, 0)).toBeGreaterThanOrEqual(0)
    expect([...flows.used()].length).toBe(16)
  })
})
