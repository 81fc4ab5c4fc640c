/** A view of 300 members: every policy still answers well, and its time for one table is printed, not judged. */
import { describe, expect, it } from 'vitest'
import { policies } from '../../policy/policies.ts'
import type { PolicyName } from '../../policy/types.ts'
import { mulberry32 } from '../../lab/load.ts'
import { memberWith, settingsWith } from './views.ts'

const TABLES_TIMED = 50
const random = mulberry32(300)
const members = Array.from({ length: 300 }, (_, m) => memberWith(m, { capacity: 1 + (m % 3), load: random() }))

describe.each(Object.keys(policies) as PolicyName[])('%s', (name) => {
  it.each([2_039, 32_771])('with Maglev tables of %d slots', (maglevSlots) => {
    const settings = settingsWith({ name, maglevSlots })
    const startedMs = performance.now()
    for (let seed = 0; seed < TABLES_TIMED; seed++) policies[name]({ members }, settings, seed)
    const tableMs = (performance.now() - startedMs) / TABLES_TIMED
    console.log(`${name}, 300 members, ${maglevSlots} Maglev slots: ${tableMs.toFixed(2)} ms a table`)

    const { ring, fallback } = policies[name]({ members }, settings, 1)
    expect(new Set(fallback).size).toBe(name === 'local' ? 1 : 300)
    // All but self for the router, about half of the members for the one that looks at loads, nobody for `local`.
    const receivers = {
      'above-average': [100, 200],
      ring: [300, 300],
      hash: [300, 300],
      router: [299, 299],
      local: [0, 0],
    }
    const [least, most] = receivers[name] as [number, number]
    expect(new Set(ring).size).toBeGreaterThanOrEqual(least)
    expect(new Set(ring).size).toBeLessThanOrEqual(most)
  })
})
