/**
 * Where new flows go while the flow table is under pressure and cannot remember a choice: a table that follows from
 * the membership alone, so that each packet of a flow, on any node, finds the same member without an entry.
 */
import type { Service } from './eligibility.ts'
import { maglevTable } from './maglev.ts'
import type { PolicySettings } from './types.ts'

/** Maglev over the eligible members, whatever their loads; if there are none, self alone. Never empty. */
export function fallbackTable({ self, eligible }: Service, { maglevSlots }: PolicySettings): readonly number[] {
  return eligible.length > 0 ? maglevTable(eligible, maglevSlots) : [self.member.index]
}
