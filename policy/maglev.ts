/**
 * A Maglev lookup table: a hash table of members that every node with the same view builds alike, in which each
 * member has its share of the slots and a change of membership moves few slots that it need not move.
 *
 * D. Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), section 3.4: every
 * member prefers the slots in an order of its own, (offset + j·skip) mod slots, and members take turns in claiming the
 * next slot of their order that is still free. Weights are turns: a member with half of the largest capacity takes
 * every other one.
 */
import { PolicyError } from './errors.ts'
import type { Reading } from './readings.ts'

/**
 * Member indices by slot; empty if there are no members.
 * @param members ordered by id, as readView returns them
 * @param slots a prime: only then does every skip visit every slot
 * @throws PolicyError `E_POLICY_SETTINGS` if slots is not a prime, which would never end
 */
export function maglevTable(members: readonly Reading[], slots: number): number[] {
  if (!isPrime(slots)) {
    throw new PolicyError('E_POLICY_SETTINGS', `a Maglev table cannot have ${slots} slots`, 'Use a prime.')
  }
  if (members.length === 0) return []
  const largest = members.reduce((most, { capacity }) => Math.max(most, capacity), 0)
  const pace = new Float64Array(members.length)
  const skip = new Uint32Array(members.length)
  const next = new Uint32Array(members.length)
  members.forEach(({ member, capacity }, m) => {
    pace[m] = capacity / largest
    skip[m] = ((member.hash[1] >>> 0) % (slots - 1)) + 1
    next[m] = (member.hash[0] >>> 0) % slots
  })

  const owners = new Int32Array(slots).fill(-1)
  for (let filled = 0, round = 0; ; round++) {
    for (let m = 0; m < members.length; m++) {
      if (!hasTurn(pace[m]!, round)) continue
      let slot = next[m]!
      while (owners[slot] !== -1) slot = step(slot, skip[m]!, slots)
      owners[slot] = m
      next[m] = step(slot, skip[m]!, slots)
      if (++filled === slots) return Array.from(owners, (owner) => members[owner]!.member.index)
    }
  }
}

/** Turns fall where pace·round, rounded, grows by one: each at the middle of its interval. */
function hasTurn(pace: number, round: number): boolean {
  return Math.floor(pace * (round + 1) + 0.5) > Math.floor(pace * round + 0.5)
}

function step(slot: number, skip: number, slots: number): number {
  const sum = slot + skip
  return sum < slots ? sum : sum - slots
}

export function isPrime(n: number): boolean {
  if (!Number.isInteger(n) || n < 2) return false
  for (let divisor = 2; divisor * divisor <= n; divisor++) if (n % divisor === 0) return false
  return true
}
