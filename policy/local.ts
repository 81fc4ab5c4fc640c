/**
 * The paper's baseline without DPR: every host serves what its clients send to it, whatever its state. Its fallback is
 * self as well, so that pressure on the flow table redirects nothing either.
 */
import { whoServes } from './eligibility.ts'
import { readView } from './readings.ts'
import type { Policy } from './types.ts'

export const local: Policy = (view, settings) => {
  const { self } = whoServes(readView(view, settings))
  return { localLimit: Infinity, ring: [], stateless: false, fallback: [self.member.index] }
}
