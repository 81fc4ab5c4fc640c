/** What one member tells another in one message: never more than can be read, however much there is to tell. */
import { beforeAll, describe, expect, test } from 'vitest'
import { decodeMessage, encodeMessage } from '../../gossip/codec.ts'
import { difference, fillDelta, owedInFull } from '../../gossip/delta.ts'
import type { Delta, DigestEntry } from '../../gossip/messages.ts'
import { FACTS_MAX, RUMOURS_MAX } from '../../gossip/messages.ts'
import { OwnRecord } from '../../gossip/own-record.ts'
import { Records } from '../../gossip/records.ts'
import type { MemberState } from '../../gossip/records.ts'
import { factsOf, signerOf } from './fixtures.ts'

const MEMBERS = 600
const nothing = (key: number): DigestEntry => ({
  key,
  incarnation: 0,
  factsVersion: 0,
  status: 'alive',
  evidence: 0,
})

let states: MemberState[]

beforeAll(async () => {
  const signers = await Promise.all(Array.from({ length: MEMBERS }, (_, i) => signerOf(i)))
  states = signers.map((signer, i) => new OwnRecord(signer, 'test 1', factsOf(i), 1, 0).state)
})

/** A host that saw 599 others die. */
function lastOne(): Records {
  const [self, ...others] = states as [MemberState, ...MemberState[]]
  const records = new Records(self, MEMBERS, () => true)
  for (const { signed } of others) {
    const { facts } = states.find((state) => state.signed === signed)!
    records.admit({ facts, version: 1, left: false }, signed, 0)
    const state = records.get(facts.id)!
    Object.assign(state, { status: 'dead', deadReason: 'silent' })
    records.changed(state)
  }
  return records
}

const isReadable = (delta: Delta): boolean => decodeMessage(encodeMessage({ type: 'push', delta, wants: [] })).ok

describe('what is told in one message', () => {
  test('can be read, though hundreds have died; the rest comes later', () => {
    let owed = lastOne().all.map((state) => ({ state, facts: false, rumour: true }))
    let [messages, told] = [0, 0]
    while (owed.length > 0) {
      const { delta, rest } = fillDelta(owed, Infinity, 0)
      expect(delta.rumours.length).toBeLessThanOrEqual(RUMOURS_MAX)
      expect(isReadable(delta)).toBe(true)
      told += delta.rumours.length
      messages++
      owed = rest
    }
    expect([messages, told]).toEqual([3, MEMBERS - 1])
  })

  test('can be read, though somebody lacks everything', () => {
    const { delta, rest } = fillDelta(lastOne().all.map(owedInFull), Infinity, 0)
    expect([delta.facts.length, rest.length]).toEqual([FACTS_MAX, MEMBERS - FACTS_MAX])
    expect(isReadable(delta)).toBe(true)
  })

  test('names a member once, however often it was asked for', () => {
    const { key } = states[7]!
    const entries = Array.from({ length: 500 }, () => nothing(key))
    const { owed, wants } = difference(lastOne(), { complete: false, entries })
    expect(owed.map(({ state }) => state.key)).toEqual([key])
    expect(wants).toEqual([])
  })

  test('asks for a stranger once', () => {
    const entries = [nothing(5), nothing(6), nothing(5)]
    const records = new Records(states[0]!, MEMBERS, () => true)
    expect(difference(records, { complete: false, entries }).wants.map(({ key }) => key)).toEqual([5, 6])
  })
})
