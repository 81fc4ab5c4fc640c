/**
 * The ranges of a policy's settings. They are checked once, where settings enter the node (its own file, or a change
 * that was gossiped), so that the policies themselves need no defence against them.
 */
import { PolicyError } from './errors.ts'
import { isPrime } from './maglev.ts'
import { policies } from './policies.ts'
import type { PolicySettings } from './types.ts'

/** The engines' ring is an array of this many slots. */
const RING_SLOTS_LIMIT = 1_024
/** A Maglev table is an array of 16-bit indices that every snapshot carries: 128 KiB at most. */
const MAGLEV_SLOTS_LIMIT = 65_537

/** Inclusive ranges; every value must be finite. Above them a setting has no meaning but "never redirect". */
const RANGES = {
  tolerance: [0, 100],
  z: [0, 100],
  minLoad: [0, 100],
  slowStartMs: [0, 3_600_000],
  ringSlotsMax: [1, RING_SLOTS_LIMIT],
  maglevSlots: [2, MAGLEV_SLOTS_LIMIT],
  reportFreshMs: [0, 3_600_000],
  reportStaleMs: [0, 3_600_000],
} as const satisfies Record<Exclude<keyof PolicySettings, 'name'>, readonly [number, number]>

/**
 * Returns a frozen copy of the settings.
 * @throws PolicyError `E_POLICY_SETTINGS`, naming the first setting that is out of range
 */
export function validateSettings(settings: PolicySettings): PolicySettings {
  if (!Object.hasOwn(policies, settings.name)) {
    throw wrong('name', settings.name, `Choose one of ${Object.keys(policies).join(', ')}.`)
  }
  for (const [key, [least, most]] of Object.entries(RANGES)) {
    const value = settings[key as keyof typeof RANGES]
    // Written so that NaN is out of range too.
    if (!(value >= least && value <= most)) throw wrong(key, value, `Choose a number from ${least} to ${most}.`)
  }
  if (!Number.isInteger(settings.ringSlotsMax)) {
    throw wrong('ringSlotsMax', settings.ringSlotsMax, 'Choose a whole number.')
  }
  if (!isPrime(settings.maglevSlots)) {
    throw wrong('maglevSlots', settings.maglevSlots, 'Choose a prime above 100 × members, for instance 2039 or 32771.')
  }
  if (settings.reportStaleMs < settings.reportFreshMs) {
    throw wrong('reportStaleMs', settings.reportStaleMs, 'Choose at least the value of reportFreshMs.')
  }
  return Object.freeze({ ...settings })
}

function wrong(key: string, value: unknown, remedy: string): PolicyError {
  return new PolicyError('E_POLICY_SETTINGS', `policy setting ${key} cannot be ${String(value)}`, remedy)
}
