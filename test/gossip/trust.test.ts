/** Who may say what: keys, signatures, replays, accusations, and versions of oneself that one never made. */
import { beforeAll, describe, expect, test } from 'vitest'
import { AccuserLimits, accuse, evidenceOf, isGenuine, withAccusation } from '../../gossip/accusations.ts'
import type { Accusation } from '../../gossip/accusations.ts'
import { packValue, unpackValue } from '../../gossip/bounded-msgpack.ts'
import { generateClusterKey, parseClusterKey } from '../../gossip/cluster-key.ts'
import { lanConfig, wanConfig } from '../../gossip/config.ts'
import { GossipCore } from '../../gossip/core.ts'
import type { Output } from '../../gossip/core.ts'
import { GossipError } from '../../gossip/errors.ts'
import { isSignedBy, parseFacts, signFacts } from '../../gossip/facts-signature.ts'
import type { ParsedFacts } from '../../gossip/facts-signature.ts'
import { createSigner, generateIdentity, parseIdentity, verifySignature } from '../../gossip/identity.ts'
import type { Signer, Verifier } from '../../gossip/identity.ts'
import { EMPTY_DELTA, NO_REPORTS, shortId } from '../../gossip/messages.ts'
import type { Message } from '../../gossip/messages.ts'
import { Records, newState } from '../../gossip/records.ts'
import { ReportTable } from '../../gossip/report-table.ts'
import { ReportBatch, ReportWriter } from '../../gossip/reports.ts'
import { parseSeed } from '../../gossip/seeds.ts'
import { factsOf, seededRandom, signerOf } from './fixtures.ts'

let a: Signer
let b: Signer
let c: Signer
beforeAll(async () => {
  ;[a, b, c] = await Promise.all([signerOf(0), signerOf(1), signerOf(2)])
})

function parsedFacts(
  signer: Signer,
  changes: { incarnation?: number; version?: number; name?: string } = {},
): ParsedFacts {
  const { incarnation = 1, version = 1, name = 'h' } = changes
  const facts = { ...factsOf(0, { name }), id: signer.id, incarnation, protocol: { min: 1, max: 1 }, software: 't' }
  return { facts, version, left: false }
}

function codeOf(act: () => unknown): string | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    return error instanceof GossipError && error.remedy.length > 0 ? error.code : String(error)
  }
}

describe('identity', () => {
  test('survives the disk', async () => {
    const bytes = await generateIdentity()
    expect(bytes).toHaveLength(68)
    expect(createSigner(bytes).id).toBe(parseIdentity(Buffer.from(bytes)).id)
    expect(createSigner(bytes).id).toMatch(/^12D3KooW/)
  })
  test('garbage is refused by name', () => {
    expect(codeOf(() => parseIdentity(Buffer.from('nonsense')))).toBe('E_GOSSIP_IDENTITY')
  })
  test('an id is enough to check a signature, and only the right one', () => {
    const bytes = Buffer.from('words')
    expect(verifySignature(a.id, bytes, a.sign(bytes))).toBe(true)
    expect(verifySignature(b.id, bytes, a.sign(bytes))).toBe(false)
    expect(verifySignature(a.id, Buffer.from('other words'), a.sign(bytes))).toBe(false)
    expect(verifySignature('12D3KooWnonsense', bytes, a.sign(bytes))).toBe(false)
    expect(verifySignature(a.id, bytes, new Uint8Array(3))).toBe(false)
  })
})

describe('cluster key', () => {
  test('what is generated is accepted, with any line end', () => {
    const key = generateClusterKey()
    expect(Buffer.from(parseClusterKey(key)).toString()).toBe(key.trim())
    expect(parseClusterKey(Buffer.from(key.replaceAll('\n', '\r\n')))).toEqual(parseClusterKey(key))
    expect(generateClusterKey()).not.toBe(key)
  })
  test.each([
    { name: 'an empty file', text: ' \n', says: 'is empty' },
    { name: 'another kind of file', text: '-----BEGIN KEY-----\nx\n', says: '/key/swarm/psk/1.0.0/' },
    { name: 'another encoding', text: '/key/swarm/psk/1.0.0/\n/base64/\nAAAA', says: '/base16/' },
    { name: 'a truncated key', text: `/key/swarm/psk/1.0.0/\n/base16/\n${'a'.repeat(63)}`, says: '63 digits' },
    { name: 'a wrong digit', text: `/key/swarm/psk/1.0.0/\n/base16/\n${'g'.repeat(64)}`, says: 'hexadecimal' },
    { name: 'two keys', text: `/key/swarm/psk/1.0.0/\n/base16/\n${'a'.repeat(64)}\nmore`, says: 'three lines' },
  ])('$name is refused precisely', ({ text, says }) => {
    expect(() => parseClusterKey(text)).toThrow(says)
    expect(codeOf(() => parseClusterKey(text))).toBe('E_GOSSIP_CLUSTER_KEY')
  })
})

test.each(['10.1.0.2', '10.1.0.2:0', '10.1.0.256:7600', 'host:7600', '10.1.0.2:7600:1', ''])(
  'seed %j is refused',
  (text) => {
    expect(codeOf(() => parseSeed(text))).toBe('E_GOSSIP_SEED')
  },
)

describe('configuration', () => {
  test.each([
    { name: 'no number', config: { probeTimeoutMs: Number.NaN } },
    { name: 'no time at all', config: { probeTimeoutMs: 0 } },
    { name: 'no time for indirect probes', config: { probeTimeoutMs: 150 } },
    { name: 'no time to refute', config: { suspicionMinMs: 300 } },
    { name: 'more accusers than are kept', config: { accusersWanted: 5 } },
    { name: 'half a helper', config: { indirectProbes: 1.5 } },
    { name: 'nobody hears of news', config: { urgentFanout: 0 } },
    { name: 'nobody passes news on', config: { forwardFanout: 0 } },
    { name: 'more rings than there are', config: { overlayRings: 17 } },
    { name: 'a digest that nobody reads', config: { digestEntriesMax: 1_025 } },
    { name: 'no room for a report', config: { reportBytesMax: 10 } },
    { name: 'quiet for longer than remembered', config: { forgetAfterMs: 1_000 } },
  ])('refuses $name', ({ config }) => {
    expect(codeOf(() => lanConfig(config))).toBe('E_GOSSIP_CONFIG')
  })

  test.each([
    { name: 'lan', preset: lanConfig },
    { name: 'wan', preset: wanConfig },
  ])('$name: is frozen, and changes go over it', ({ preset }) => {
    expect(Object.isFrozen(preset())).toBe(true)
    expect(preset({ indirectProbes: 5 }).indirectProbes).toBe(5)
  })
})

describe('facts', () => {
  /** What `c` holds. */
  const recordsOf = (membersMax: number, verify: Verifier = verifySignature): Records => {
    const parsed = parsedFacts(c)
    return new Records(newState(parsed, signFacts(parsed, c), 0), membersMax, verify)
  }
  const admit = (records: Records, parsed: ParsedFacts, signer: Signer): string =>
    records.admit(parsed, signFacts(parsed, signer), 0).change

  test('what the owner signed is accepted, and only news of it', () => {
    const records = recordsOf(10)
    expect(admit(records, parsedFacts(a), a)).toBe('new')
    expect(admit(records, parsedFacts(a, { name: 'same version' }), a)).toBe('none')
    expect(admit(records, parsedFacts(a, { version: 2 }), a)).toBe('version')
    expect(admit(records, parsedFacts(a, { version: 1 }), a), 'a replay').toBe('none')
    expect(admit(records, parsedFacts(a, { incarnation: 2 }), a)).toBe('incarnation')
    expect(admit(records, parsedFacts(a, { version: 9 }), a), 'a replay of another life').toBe('none')
  })

  test('nobody speaks for another', () => {
    const records = recordsOf(10)
    expect(admit(records, parsedFacts(a), b)).toBe('refused')
    expect(admit(records, parsedFacts(a), a)).toBe('new')
    expect(admit(records, parsedFacts(a, { version: 2, name: 'forged' }), b)).toBe('refused')
    expect(records.get(a.id)?.facts.name).toBe('h')
  })

  test('one flipped bit is noticed', () => {
    const signed = signFacts(parsedFacts(a), a)
    for (const at of [0, 20, signed.bytes.length - 1]) {
      const bytes = Buffer.from(signed.bytes)
      bytes[at]! ^= 1
      expect(isSignedBy(a.id, { ...signed, bytes }, verifySignature)).toBe(false)
    }
  })

  test('each version is verified once', () => {
    let verified = 0
    const records = recordsOf(10, (...args) => (verified++, verifySignature(...args)))
    const parsed = parsedFacts(a)
    const signed = signFacts(parsed, a)
    for (let i = 0; i < 10; i++) records.admit(parsed, signed, 0)
    expect(verified).toBe(1)
  })

  test('members beyond the bound are not admitted', () => {
    const records = recordsOf(2)
    expect(admit(records, parsedFacts(a), a)).toBe('new')
    expect(admit(records, parsedFacts(b), b)).toBe('refused')
  })

  test('a field of a later version survives the relay', () => {
    const map = { ...(unpackValue(signFacts(parsedFacts(b), b).bytes) as object), restarting: { untilMs: 5 } }
    const bytes = packValue(map)
    const signature = b.sign(Buffer.concat([Buffer.from('dpr-gossip-facts-1\0'), bytes]))
    const core = coreOf(a)
    deliver(core, { ...EMPTY_DELTA, facts: [{ bytes, signature }] })
    const [answer] = sends(core.receive(1, c.id, emptyPing()))
    const relayed = answer?.type === 'ack' ? answer.delta.facts.map((facts) => unpackValue(facts.bytes)) : []
    expect(relayed).toContainEqual(map)
  })

  test.each([
    { field: 'id', value: 'QmXyz' },
    { field: 'name', value: '' },
    { field: 'name', value: 'x'.repeat(64) },
    { field: 'name', value: 'bell\u0007' },
    { field: 'incarnation', value: -1 },
    { field: 'gossipAddress', value: '10.1.0' },
    { field: 'gossipAddress', value: '10.1.0.01' },
    { field: 'gossipPort', value: 65536 },
    { field: 'attachments', value: [{ segment: 's', address: '10.0.0.1', mac: '02:00:00:00:00:0G', mtu: 1500 }] },
    { field: 'homes', value: ['::1'] },
    { field: 'announces', value: [{ address: '10.0.0.1', epoch: 0 }] },
    { field: 'accepts', value: Array.from({ length: 1_025 }, () => '10.0.0.1') },
    { field: 'services', value: [{ protocol: 'sctp', port: 80, health: 'healthy' }] },
    { field: 'draining', value: 0 },
    { field: 'capacity', value: 0 },
    { field: 'capacityFlows', value: Number.POSITIVE_INFINITY },
    { field: 'protocol', value: { min: 2, max: 1 } },
    { field: 'software', value: null },
  ])('$field $value is refused', ({ field, value }) => {
    const map = { ...(unpackValue(signFacts(parsedFacts(a), a).bytes) as object), [field]: value }
    expect(parseFacts(packValue(map))).toEqual({ ok: false, reason: `facts: ${field}` })
  })
})

describe('accusations', () => {
  const against = (accuser: Signer, kind: 'silent' | 'refused' = 'silent', nowMs = 0): Accusation =>
    accuse({ id: c.id, incarnation: 1 }, 1, kind, nowMs, accuser)

  test('count only with the accuser’s signature over every field', () => {
    const genuine = against(a)
    expect(isGenuine(genuine, verifySignature)).toBe(true)
    const changes: Partial<Accusation>[] = [
      { accused: b.id },
      { incarnation: 2 },
      { accuser: b.id },
      { accuserIncarnation: 2 },
      { bucket: 1 },
      { kind: 'refused' },
    ]
    for (const change of changes) expect(isGenuine({ ...genuine, ...change }, verifySignature)).toBe(false)
  })

  test('end as the same few in any order', async () => {
    const many = await Promise.all([3, 4, 5, 6, 7, 8].map(async (i) => against(await signerOf(i))))
    const gather = (accusations: Accusation[]): Accusation[] =>
      accusations.reduce<Accusation[]>((kept, accusation) => withAccusation(kept, accusation) ?? kept, [])
    const kept = gather(many)
    const reversed = gather(many.toReversed())
    expect(kept).toHaveLength(4)
    expect(kept).toEqual(reversed)
    expect(evidenceOf(kept, 9)).toBe(evidenceOf(reversed, 9))
    expect(evidenceOf(kept.slice(1), 9)).not.toBe(evidenceOf(kept, 9))
  })

  test('are the same evidence, whoever made them, once there are enough', () => {
    const [one, two, refusal] = [against(a), against(b), against(c, 'refused')]
    expect(evidenceOf([one], 2)).not.toBe(evidenceOf([two], 2))
    expect(evidenceOf([one, two], 2)).toBe(evidenceOf([two, against(c)], 2))
    expect(evidenceOf([one, two], 2)).not.toBe(evidenceOf([refusal, one, two], 2))
    expect(evidenceOf([refusal, against(a, 'refused')], 2)).toBe(evidenceOf([refusal, against(b, 'refused'), one], 2))
  })

  test('proof of refusal replaces mere silence, not the other way round', () => {
    const proof = withAccusation([against(a)], against(a, 'refused'))
    expect(proof?.map((accusation) => accusation.kind)).toEqual(['refused'])
    expect(withAccusation(proof!, against(a))).toBeUndefined()
  })

  test('are limited per accuser and second, and replays are refused', () => {
    const limits = new AccuserLimits(2)
    expect([0, 1, 2].map(() => limits.admit(against(a, 'silent', 100_000), 500))).toEqual([
      'admitted',
      'admitted',
      'too many',
    ])
    expect(limits.admit(against(b, 'silent', 100_000), 500), 'another accuser').toBe('admitted')
    expect(limits.admit(against(a, 'silent', 101_000), 1_500), 'another second').toBe('admitted')
    expect(limits.admit(against(a, 'silent', 60_000), 2_500), 'long past').toBe('replay')
  })
})

function coreOf(signer: Signer, index = 0): GossipCore {
  return new GossipCore({
    config: lanConfig(),
    signer,
    verify: verifySignature,
    facts: factsOf(index),
    software: 't',
    incarnation: 5,
    random: seededRandom(1),
    nowMs: 0,
  })
}

describe('what others say about a third', () => {
  /** `a`, which knows b, c and d; and what it is told about d. */
  async function scene(): Promise<{
    core: GossipCore
    tell: (at: number, status: 'suspect' | 'dead', by: Accusation[]) => void
  }> {
    const d = await signerOf(3)
    const core = coreOf(a)
    deliver(core, { ...EMPTY_DELTA, facts: [b, c, d].map((signer) => signFacts(parsedFacts(signer), signer)) })
    const tell = (at: number, status: 'suspect' | 'dead', accusations: Accusation[]): void => {
      const deadReason = status === 'dead' ? 'silent' : null
      const rumour = { key: shortId(d.id), incarnation: 1, status, deadReason, ageMs: 5_000, accusations } as const
      core.receive(at, b.id, { type: 'push', delta: { ...EMPTY_DELTA, rumours: [rumour] }, wants: [] })
    }
    return { core, tell }
  }
  const statusOf = (core: GossipCore, id: string): string | undefined =>
    core.members(1).find((member) => member.facts.id === id)?.status

  test('an accusation needs its accuser’s signature', async () => {
    const { core, tell } = await scene()
    const d = await signerOf(3)
    const genuine = accuse({ id: d.id, incarnation: 1 }, 1, 'silent', 0, b)
    tell(2, 'suspect', [{ ...genuine, accuser: c.id }])
    expect(statusOf(core, d.id)).toBe('alive')
    tell(3, 'dead', [])
    expect(statusOf(core, d.id)).toBe('alive')
    tell(4, 'suspect', [genuine])
    expect(statusOf(core, d.id)).toBe('suspect')
  })

  test('a death that others pronounced leaves time for one probe', async () => {
    const { core, tell } = await scene()
    const d = await signerOf(3)
    const two = [b, c].map((signer) => accuse({ id: d.id, incarnation: 1 }, 1, 'silent', 0, signer))
    tell(10, 'dead', two)
    let nowMs = 10
    while (statusOf(core, d.id) === 'suspect' && nowMs < 1_000) {
      nowMs = core.nextTickMs
      core.tick(nowMs)
    }
    expect(statusOf(core, d.id)).toBe('dead')
    expect(nowMs).toBeGreaterThanOrEqual(10 + lanConfig().probeDeadlineMs)
    expect(nowMs).toBeLessThan(10 + 2 * lanConfig().probeDeadlineMs)
  })

  test('two refusals are proof', async () => {
    const { core, tell } = await scene()
    const d = await signerOf(3)
    const two = [b, c].map((signer) => accuse({ id: d.id, incarnation: 1 }, 1, 'refused', 0, signer))
    tell(10, 'suspect', two.slice(0, 1))
    expect(statusOf(core, d.id)).toBe('suspect')
    tell(11, 'suspect', two)
    expect(core.members(11).find((member) => member.facts.id === d.id)?.deadReason).toBe('daemon-only')
  })
})

describe('a compromised member cannot make others shout', () => {
  /** `a`, which knows b, c and d, after `act`; and how many records it told others in the next 300 ms. */
  async function told(act: (core: GossipCore, d: Signer) => void): Promise<{ core: GossipCore; count: number }> {
    const d = await signerOf(3)
    const core = coreOf(a)
    deliver(core, { ...EMPTY_DELTA, facts: [b, c, d].map((signer) => signFacts(parsedFacts(signer), signer)) })
    core.tick(200)
    core.counters.newsForwarded = 0
    act(core, d)
    let count = 0
    for (let nowMs = 301; nowMs < 600; nowMs = Math.max(nowMs + 1, core.nextTickMs)) {
      for (const message of sends(core.tick(nowMs))) {
        if (message.type === 'push') count += message.delta.facts.length + message.delta.rumours.length
      }
    }
    return { core, count }
  }
  const push = (core: GossipCore, delta: Partial<typeof EMPTY_DELTA>): void => {
    core.receive(300, b.id, { type: 'push', delta: { ...EMPTY_DELTA, ...delta }, wants: [] })
  }

  test('(genuine news is passed on, to those who did not tell it)', async () => {
    const { count } = await told((core) => push(core, { facts: [signFacts(parsedFacts(b, { version: 2 }), b)] }))
    expect(count).toBe(2)
  })

  test.each([
    { name: 'what is known already', facts: () => signFacts(parsedFacts(b), b) },
    { name: 'what another signed', facts: () => signFacts(parsedFacts(c, { version: 2 }), b) },
    { name: 'garbage', facts: () => ({ bytes: Buffer.from('c0', 'hex'), signature: Buffer.alloc(64) }) },
  ])('with $name', async ({ facts }) => {
    const { count } = await told((core) => push(core, { facts: [facts()] }))
    expect(count).toBe(0)
  })

  test('with a new version of its own record a thousand times a second', async () => {
    const { core, count } = await told((core) => {
      for (let version = 2; version < 1_002; version++)
        push(core, { facts: [signFacts(parsedFacts(b, { version }), b)] })
    })
    expect(core.counters.newsForwarded).toBeLessThanOrEqual(lanConfig().newsPerMemberMax)
    expect(core.counters.newsSuppressed).toBeGreaterThan(900)
    expect(count).toBeLessThanOrEqual(3 * lanConfig().newsPerMemberMax)
  })

  test('with accusations in the name of others, or many of its own', async () => {
    const { core } = await told((core, d) => {
      const genuine = accuse({ id: d.id, incarnation: 1 }, 1, 'silent', 0, b)
      const rumour = { key: shortId(d.id), incarnation: 1, status: 'suspect', deadReason: null, ageMs: 0 } as const
      for (const accusation of [{ ...genuine, accuser: c.id }, genuine, genuine, genuine]) {
        push(core, { rumours: [{ ...rumour, accusations: [accusation] }] })
      }
    })
    const { accusationsForged, accusationsTaken, accusationsKnown, newsForwarded } = core.counters
    expect({ accusationsForged, accusationsTaken, accusationsKnown, newsForwarded }).toEqual({
      accusationsForged: 1,
      accusationsTaken: 1,
      accusationsKnown: 2,
      newsForwarded: 1,
    })
  })

  test('with a thousand forged accusations in one message: one check, not a thousand', async () => {
    const { core } = await told((core, d) => {
      const genuine = accuse({ id: d.id, incarnation: 1 }, 1, 'silent', 0, b)
      const rumour = { incarnation: 1, status: 'suspect', deadReason: null, ageMs: 0 } as const
      const forged = Array.from({ length: 1_000 }, (_, bucket) => ({ ...genuine, accuser: c.id, bucket }))
      push(core, {
        rumours: [
          { ...rumour, key: shortId(d.id), accusations: forged },
          { ...rumour, key: shortId(c.id), accusations: [{ ...genuine, accused: c.id }] },
          { ...rumour, key: shortId(d.id), accusations: forged },
        ],
      })
    })
    expect(core.counters.accusationsForged).toBe(1)
  })

  test('by doubting it a thousand times a second', async () => {
    const { core } = await told((core) => {
      for (let i = 0; i < 1_000; i++) {
        const doubt = { key: shortId(a.id), status: 'suspect', deadReason: null, ageMs: 0 } as const
        push(core, { rumours: [{ ...doubt, incarnation: incarnationOf(core), accusations: [] }] })
      }
    })
    expect(core.counters.refutations).toBeLessThanOrEqual(10)
  })
})

function emptyPing(): Message {
  const digest = { complete: true, entries: [] }
  return { type: 'ping', seq: 1, view: 0, reports: NO_REPORTS, digest, delta: EMPTY_DELTA }
}

function deliver(core: GossipCore, delta: typeof EMPTY_DELTA): Output[] {
  return core.receive(1, b.id, { type: 'push', delta, wants: [] })
}

function sends(outputs: Output[]): Message[] {
  return outputs.flatMap((output) => (output.type === 'send' ? [output.message] : []))
}

function incarnationOf(core: GossipCore): number {
  return core.members(1).find((member) => member.self)!.facts.incarnation
}

describe('a node that hears of itself', () => {
  test.each([
    { name: 'its genuine later self: jumps past it', signer: () => a, incarnation: 9, expected: 10 },
    { name: 'its genuine earlier self: nothing', signer: () => a, incarnation: 4, expected: 5 },
    { name: 'another’s words in its name: nothing', signer: () => b, incarnation: 9, expected: 5 },
  ])('$name', ({ signer, incarnation, expected }) => {
    const core = coreOf(a)
    deliver(core, { ...EMPTY_DELTA, facts: [signFacts(parsedFacts(a, { incarnation }), signer())] })
    expect(incarnationOf(core)).toBe(expected)
  })

  test('suspected: refutes at once, and tells', () => {
    const core = coreOf(a)
    deliver(core, { ...EMPTY_DELTA, facts: [signFacts(parsedFacts(b), b)] })
    const rumour = {
      key: shortId(a.id),
      incarnation: 5,
      status: 'suspect',
      deadReason: null,
      ageMs: 0,
      accusations: [],
    }
    deliver(core, { ...EMPTY_DELTA, rumours: [{ ...rumour, status: 'suspect' }] })
    expect(incarnationOf(core)).toBe(6)
    const dueMs = 1 + lanConfig().urgentDelayMs
    expect(core.nextTickMs).toBeLessThanOrEqual(dueMs)
    const told = sends(core.tick(dueMs)).flatMap((message) => (message.type === 'push' ? message.delta.facts : []))
    expect(told.map(({ bytes }) => parseFacts(bytes))).toMatchObject([{ parsed: { facts: { incarnation: 6 } } }])
  })

  test('with a report that it never made: jumps past its version', () => {
    const core = coreOf(a)
    core.setLoad(1, { load: 0.5, source: 'flows', ageMs: 0 })
    const table = new ReportTable()
    table.append(shortId(a.id), 5, 0)
    table.set(0, 700, 5_000, 1, 0)
    const writer = new ReportWriter(100)
    const batch = new ReportBatch()
    table.gather(Int32Array.of(0), 1, 0, batch)
    writer.add(batch, 0, undefined)
    core.receive(1, b.id, { type: 'ping', seq: 1, view: 0, reports: writer.take(), delta: EMPTY_DELTA })
    expect(core.members(1)[0]?.reportVersion).toBeGreaterThan(700)
  })

  test('facts that cannot be gossiped are refused by name', () => {
    expect(codeOf(() => coreOf(a).setFacts(1, factsOf(0, { gossipPort: 0 })))).toBe('E_GOSSIP_FACTS')
  })
})
