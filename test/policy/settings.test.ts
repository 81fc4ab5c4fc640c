/** Settings are checked at the door: each range by a row, each refusal with its code, its key and a remedy. */
import { describe, expect, it } from 'vitest'
import { validateSettings } from '../../policy/settings.ts'
import type { PolicySettings } from '../../policy/types.ts'
import { settingsWith } from './views.ts'

describe('accepted', () => {
  it.each<Partial<PolicySettings>>([
    {},
    { name: 'hash' },
    { tolerance: 0, z: 0, minLoad: 0 },
    { slowStartMs: 0 },
    { ringSlotsMax: 1 },
    { maglevSlots: 65_537 },
    { reportFreshMs: 2_000, reportStaleMs: 2_000 },
  ])('%o', (overrides) => {
    const settings = settingsWith(overrides)
    expect(validateSettings(settings)).toEqual(settings)
    expect(validateSettings(settings)).toSatisfy(Object.isFrozen)
  })
})

describe('refused', () => {
  it.each<[keyof PolicySettings, unknown]>([
    ['name', 'least-loaded'],
    ['name', 'toString'],
    ['tolerance', -0.01],
    ['tolerance', NaN],
    ['z', Infinity],
    ['minLoad', '0.05'.repeat(2)],
    ['slowStartMs', -1],
    ['ringSlotsMax', 0],
    ['ringSlotsMax', 1_025],
    ['ringSlotsMax', 12.5],
    ['maglevSlots', 2_040],
    ['maglevSlots', 65_539],
    ['reportFreshMs', undefined],
    ['reportStaleMs', 1_999],
  ])('%s = %s', (key, value) => {
    const settings: PolicySettings = { ...settingsWith(), [key]: value }
    expect(() => validateSettings(settings)).toThrow(
      expect.objectContaining({
        code: 'E_POLICY_SETTINGS',
        message: expect.stringContaining(key) as string,
        remedy: expect.stringMatching(/^Choose/) as string,
      }),
    )
  })
})
