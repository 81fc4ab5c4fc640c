/**
 * The table of the Maglev paper, section 3.4, as slowly as it is told there: every member's whole permutation written
 * out, every turn taken from a written-out list of turns.
 */
import type { PolicyMember } from '../../../policy/types.ts'

export function naiveMaglev(members: readonly PolicyMember[], slots: number): number[] {
  const ordered = [...members].sort((a, b) => (a.id < b.id ? -1 : 1))
  const lists = new Map(ordered.map((member) => [member, permutation(member, slots)]))
  const table = new Map<number, number>()
  for (const member of turns(ordered, slots)) {
    if (table.size === slots) break
    const wanted = lists.get(member)!.find((slot) => !table.has(slot))!
    table.set(wanted, member.index)
  }
  return Array.from({ length: slots }, (_, slot) => table.get(slot)!)
}

function permutation(member: PolicyMember, slots: number): number[] {
  const offset = member.hash[0] % slots
  const skip = (member.hash[1] % (slots - 1)) + 1
  return Array.from({ length: slots }, (_, j) => (offset + j * skip) % slots)
}

/**
 * Turn number k of a member falls into round ceil((k + ½)·largest ÷ capacity) − 1, largest being the largest capacity;
 * within a round by id. More turns than there are slots.
 */
function turns(ordered: readonly PolicyMember[], slots: number): PolicyMember[] {
  const largest = Math.max(...ordered.map((member) => member.capacity))
  return ordered
    .flatMap((member, order) =>
      Array.from({ length: slots }, (_, k) => {
        const round = Math.ceil(((k + 0.5) * largest) / member.capacity) - 1
        return { member, order, round }
      }),
    )
    .sort((a, b) => a.round - b.round || a.order - b.order)
    .map(({ member }) => member)
}
