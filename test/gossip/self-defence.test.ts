/** What a node does about records that are its own and not from this life, and about what is said of it. */
import { beforeEach, describe, expect, test } from 'vitest'
import { Awareness } from '../../gossip/awareness.ts'
import { lanConfig } from '../../gossip/config.ts'
import { zeroCounters } from '../../gossip/counters.ts'
import { readFacts } from '../../gossip/facts-signature.ts'
import { verifySignature } from '../../gossip/identity.ts'
import { OwnRecord } from '../../gossip/own-record.ts'
import { SelfDefence } from '../../gossip/self-defence.ts'
import { SelfDoubt } from '../../gossip/self-doubt.ts'
import { factsOf, signerOf } from './fixtures.ts'

const signer = await signerOf(0)
const config = lanConfig()
let own: OwnRecord
let doubt: SelfDoubt
let defence: SelfDefence
let changed: number
let twins: string[]

beforeEach(() => {
  own = new OwnRecord(signer, 'test', factsOf(0), 100, 0)
  doubt = new SelfDoubt(config)
  changed = 0
  twins = []
  const noted = { changed: () => void changed++, twin: (address: string) => void twins.push(address) }
  const parts = { own, doubt, verify: verifySignature, awareness: new Awareness(4), counters: zeroCounters() }
  defence = new SelfDefence({ config, ...parts, ...noted })
})

/** Somebody hands us a record of ours with an incarnation that is one above. Returns whether we jumped past it. */
function meet(nowMs: number): boolean {
  const { incarnation } = own.state.facts
  const rival = new OwnRecord(signer, 'test', factsOf(0), incarnation + 1, 0)
  const reading = readFacts(rival.state.signed)
  if (!reading.ok) throw new Error('the record is refused')
  defence.meetOurselves(reading.parsed, reading.signed, nowMs)
  return own.state.facts.incarnation > incarnation
}

describe('a record of our own that is not from this life', () => {
  test('is jumped past', () => {
    expect([meet(0), changed, own.state.facts.incarnation, doubt.isWitness(0)]).toEqual([true, 1, 102, true])
  })

  test('makes us doubt when three came at once, and then one in five seconds: somebody else lives under our identity', () => {
    expect([meet(0), meet(0), meet(0), twins.length]).toEqual([true, true, true, 0])
    expect([meet(0), meet(0), doubt.isWitness(0)]).toEqual([false, false, false])
    expect(twins).toEqual(['10.1.0.1:7600'])
    expect([meet(4_999), meet(5_000), meet(5_001)]).toEqual([false, true, false])
    expect([meet(60_000), meet(60_000), meet(60_000), meet(60_000)]).toEqual([true, true, true, false])
    expect(twins).toHaveLength(2)
  })
})
