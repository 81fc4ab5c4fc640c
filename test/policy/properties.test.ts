/** What holds for every view, good or absurd, whatever the numbers: who never receives, who never keeps, what is finite. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { policies } from '../../policy/policies.ts'
import type { PolicyMember, PolicyName, PolicyView } from '../../policy/types.ts'
import { PROPERTY_RUNS, absurdViews, seeds, views } from './arbitrary-views.ts'
import { average } from './reference/policies.ts'
import { isPanic, mayReceive, suspicionCounts } from './reference/service.ts'
import { settingsWith, slotsOf } from './views.ts'

const SETTINGS = settingsWith({ maglevSlots: 211 })
const redirecting: PolicyName[] = ['above-average', 'ring', 'hash', 'router']
const named = (view: PolicyView, index: number): PolicyMember => view.members.find((m) => m.index === index)!
const selfOf = (view: PolicyView): PolicyMember => view.members.find((m) => m.self)!

function forEveryView(arbitrary: typeof views, holds: (view: PolicyView, seed: number) => void): void {
  fc.assert(fc.property(arbitrary, seeds, holds), PROPERTY_RUNS)
}

describe.each(redirecting)('%s', (name) => {
  const tableFor = (view: PolicyView, seed: number) => policies[name](view, { ...SETTINGS, name }, seed)

  it('sends nothing to a member that is refused, dead, gone, draining or unreachable', () => {
    forEveryView(views, (view, seed) => {
      const table = tableFor(view, seed)
      const nobody = !view.members.some((member) => mayReceive(member, view, SETTINGS))
      for (const index of new Set(nobody ? table.ring : [...table.ring, ...table.fallback])) {
        const member = named(view, index)
        expect([member.status === 'dead', member.status === 'left', member.draining]).toEqual([false, false, false])
        expect(member.health).not.toBe('refused')
        expect(member.reachable).toBe(true)
      }
    })
  })

  it('sends nothing to a failing member while the healthy ones can carry the load', () => {
    forEveryView(views, (view, seed) => {
      if (isPanic(view, SETTINGS)) return
      const { ring, fallback } = tableFor(view, seed)
      const health = new Set([...ring, ...fallback].map((index) => named(view, index).health))
      expect(health).toEqual(new Set(['healthy']))
    })
  })

  it('sends nothing to a suspect, or treats suspects as alive if there are too many', () => {
    forEveryView(views, (view, seed) => {
      const table = tableFor(view, seed)
      if (suspicionCounts(view)) {
        for (const index of table.ring) expect(named(view, index).status).toBe('alive')
        return
      }
      const members = view.members.map((m) => (m.status === 'suspect' ? { ...m, status: 'alive' as const } : m))
      expect(table).toEqual(tableFor({ members }, seed))
    })
  })

  it('keeps nothing on a host that must not serve while another may', () => {
    forEveryView(views, (view, seed) => {
      const { localLimit, ring, fallback } = tableFor(view, seed)
      const self = selfOf(view)
      if (mayReceive(self, view, SETTINGS)) return
      expect(localLimit).toBe(0)
      expect(ring).not.toContain(self.index)
      if (!view.members.some((member) => mayReceive(member, view, SETTINGS))) {
        expect(ring).toEqual([])
        expect(fallback).toEqual([self.index])
        return
      }
      expect(ring.length).toBeGreaterThan(0)
      expect(fallback).not.toContain(self.index)
    })
  })

  it('gives the same table for the same view in another order, and leaves the view alone', () => {
    forEveryView(views, (view, seed) => {
      const before = structuredClone(view)
      const table = tableFor(view, seed)
      expect(tableFor({ members: view.members.toReversed() }, seed)).toEqual(table)
      expect(view).toEqual(before)
    })
  })

  it('keeps every share, to a slot, when the seed rotates the ring', () => {
    forEveryView(views, (view, seed) => {
      const ring = slotsOf(tableFor(view, seed).ring)
      const turned = slotsOf(tableFor(view, seed + 1).ring)
      for (const index of new Set([...ring.keys(), ...turned.keys()])) {
        expect(Math.abs((ring.get(index) ?? 0) - (turned.get(index) ?? 0))).toBeLessThanOrEqual(1)
      }
    })
  })

  it('survives absurd numbers with a finite limit and indices of the view', () => {
    forEveryView(absurdViews, (view, seed) => {
      const { localLimit, ring, fallback } = tableFor(view, seed)
      expect(Number.isSafeInteger(localLimit)).toBe(true)
      expect(localLimit).toBeGreaterThanOrEqual(0)
      expect(fallback.length).toBeGreaterThan(0)
      for (const index of new Set([...ring, ...fallback])) expect(named(view, index)).toBeDefined()
    })
  })
})

describe('above-average', () => {
  const tableFor = (view: PolicyView, seed: number) => policies['above-average'](view, SETTINGS, seed)

  it('redirects nothing while this host is at or below the average and may serve', () => {
    forEveryView(views, (view, seed) => {
      const self = selfOf(view)
      if (!mayReceive(self, view, SETTINGS)) return
      const atAverage = average(view, SETTINGS) * self.capacityFlows
      expect(tableFor(view, seed).localLimit).toBeGreaterThan(atAverage * (1 - 1e-12))
    })
  })

  it('gives no peer more than twice its capacity share, less while it is ramped up', () => {
    forEveryView(views, (view, seed) => {
      if (!mayReceive(selfOf(view), view, SETTINGS)) return
      const { ring } = tableFor(view, seed)
      const receivers = view.members.filter((member) => mayReceive(member, view, SETTINGS))
      const whole = receivers.reduce((sum, { capacity }) => sum + capacity, 0)
      for (const [index, slots] of slotsOf(ring)) {
        const { self, capacity, eligibleForMs } = named(view, index)
        if (self) continue
        const ramp = Math.min(1, eligibleForMs / SETTINGS.slowStartMs)
        expect(slots).toBeLessThan((2 * ramp * capacity * ring.length) / whole + 1)
      }
    })
  })

  it('sends nothing to a peer whose fresh report puts it at or above the average', () => {
    forEveryView(views, (view, seed) => {
      if (!mayReceive(selfOf(view), view, SETTINGS)) return
      const A = average(view, SETTINGS)
      for (const index of new Set(tableFor(view, seed).ring)) {
        const { self, reportAgeMs, load, myFlows, myFlowsAtReport, capacityFlows } = named(view, index)
        if (self || reportAgeMs > SETTINGS.reportFreshMs) continue
        expect(load + (myFlows - myFlowsAtReport) / capacityFlows).toBeLessThan(A)
      }
    })
  })
})
