/** Every policy against its slow reference, on seeded random views. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { policies } from '../../policy/policies.ts'
import type { PolicyName } from '../../policy/types.ts'
import { PROPERTY_RUNS, seeds, views } from './arbitrary-views.ts'
import { expected } from './reference/policies.ts'
import { sum } from './reference/service.ts'
import { settingsWith, slotsOf } from './views.ts'

/** Prime; small, since the reference writes every permutation out. */
const SLOTS = 211

describe.each(Object.keys(policies) as PolicyName[])('%s is what its definition says', (name) => {
  const settings = settingsWith({ name, maglevSlots: SLOTS })

  it('in its limit, its shares and its fallback', () => {
    fc.assert(
      fc.property(views, seeds, (view, seed) => {
        const table = policies[name](view, settings, seed)
        const wanted = expected(name, view, settings)

        // Two sums of the same numbers in another order may round to neighbouring flows.
        if (Number.isFinite(wanted.localLimit)) {
          expect(Math.abs(table.localLimit - wanted.localLimit)).toBeLessThanOrEqual(1)
        } else expect(table.localLimit).toBe(wanted.localLimit)

        expect(table.stateless).toBe(name === 'hash')
        expect(table.fallback).toEqual(wanted.table)
        if (name === 'hash') {
          expect(table.ring).toEqual(wanted.shares.size > 0 ? wanted.table : [])
          return
        }
        if (wanted.shares.size === 0) {
          expect(table.ring).toEqual([])
          return
        }
        expect(sum([...wanted.shares.values()])).toBeCloseTo(1, 9)
        expect(table.ring.length).toBeGreaterThan(0)
        expect(table.ring.length).toBeLessThanOrEqual(settings.ringSlotsMax)
        const slots = slotsOf(table.ring)
        for (const [index, share] of wanted.shares) {
          expect(Math.abs((slots.get(index) ?? 0) - share * table.ring.length)).toBeLessThan(1.001)
          slots.delete(index)
        }
        expect([...slots.keys()]).toEqual([])
      }),
      PROPERTY_RUNS,
    )
  })
})
