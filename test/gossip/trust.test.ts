/** Who may say what: keys, signatures, replays, accusations, and versions of oneself that one never made. */
import { beforeAll, describe, expect, test } from 'vitest'
import { AccuserLimits, accuse, evidenceOf, isGenuine, keepAccusation } from '../../gossip/accusations.ts'
import type { Accusation } from '../../gossip/accusations.ts'
import { packValue, unpackValue } from '../../gossip/bounded-msgpack.ts'
import { generateClusterKey, parseClusterKey } from '../../gossip/cluster-key.ts'
import { lanConfig } from '../../gossip/config.ts'
import { GossipCore } from '../../gossip/core.ts'
import type { Output } from '../../gossip/core.ts'
import { GossipError } from '../../gossip/errors.ts'
import { isSignedBy, parseFacts, signFacts } from '../../gossip/facts-signature.ts'
import type { ParsedFacts } from '../../gossip/facts-signature.ts'
import { createSigner, generateIdentity, parseIdentity, verifySignature } from '../../gossip/identity.ts'
import type { Signer } from '../../gossip/identity.ts'
import { EMPTY_DELTA } from '../../gossip/messages.ts'
import { Records } from '../../gossip/records.ts'
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

test.each([
  { name: 'no number', config: { probeTimeoutMs: Number.NaN } },
  { name: 'no time for indirect probes', config: { probeTimeoutMs: 150 } },
  { name: 'no time to refute', config: { suspicionMinMs: 300 } },
])('configuration: $name', ({ config }) => {
  expect(codeOf(() => lanConfig(config))).toBe('E_GOSSIP_CONFIG')
})

describe('facts', () => {
  const admit = (records: Records, parsed: ParsedFacts, signer: Signer): string =>
    records.admit(parsed, signFacts(parsed, signer), 0).change

  test('what the owner signed is accepted, and only news of it', () => {
    const records = new Records(10, verifySignature)
    expect(admit(records, parsedFacts(a), a)).toBe('new')
    expect(admit(records, parsedFacts(a, { name: 'same version' }), a)).toBe('none')
    expect(admit(records, parsedFacts(a, { version: 2 }), a)).toBe('version')
    expect(admit(records, parsedFacts(a, { version: 1 }), a), 'a replay').toBe('none')
    expect(admit(records, parsedFacts(a, { incarnation: 2 }), a)).toBe('incarnation')
    expect(admit(records, parsedFacts(a, { version: 9 }), a), 'a replay of another life').toBe('none')
  })

  test('nobody speaks for another', () => {
    const records = new Records(10, verifySignature)
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
    const records = new Records(10, (...args) => (verified++, verifySignature(...args)))
    const parsed = parsedFacts(a)
    const signed = signFacts(parsed, a)
    for (let i = 0; i < 10; i++) records.admit(parsed, signed, 0)
    expect(verified).toBe(1)
  })

  test('members beyond the bound are not admitted', () => {
    const records = new Records(1, verifySignature)
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
    const kept: Accusation[] = []
    const reversed: Accusation[] = []
    for (const accusation of many) keepAccusation(kept, accusation)
    for (const accusation of many.toReversed()) keepAccusation(reversed, accusation)
    expect(kept).toHaveLength(4)
    expect(kept).toEqual(reversed)
    expect(evidenceOf(kept)).toBe(evidenceOf(reversed))
    expect(evidenceOf(kept.slice(1))).not.toBe(evidenceOf(kept))
  })

  test('proof of refusal replaces mere silence, not the other way round', () => {
    const kept = [against(a)]
    expect(keepAccusation(kept, against(a, 'refused'))).toBe(true)
    expect(keepAccusation(kept, against(a))).toBe(false)
    expect(kept.map((accusation) => accusation.kind)).toEqual(['refused'])
  })

  test('are limited per accuser and second, and replays are refused', () => {
    const limits = new AccuserLimits(2)
    expect([0, 1, 2].map(() => limits.admit(against(a, 'silent', 100_000), 500))).toEqual([true, true, false])
    expect(limits.admit(against(b, 'silent', 100_000), 500), 'another accuser').toBe(true)
    expect(limits.admit(against(a, 'silent', 101_000), 1_500), 'another second').toBe(true)
    expect(limits.admit(against(a, 'silent', 60_000), 2_500), 'long past').toBe(false)
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
      const rumour = { key: d.id.slice(-11), incarnation: 1, status, deadReason, ageMs: 5_000, accusations } as const
      core.receive(at, b.id, { type: 'push', delta: { ...EMPTY_DELTA, rumours: [rumour] } })
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

function emptyPing(): Parameters<GossipCore['receive']>[2] {
  return { type: 'ping', seq: 1, digest: { complete: true, entries: [] }, delta: EMPTY_DELTA }
}

function deliver(core: GossipCore, delta: typeof EMPTY_DELTA): Output[] {
  return core.receive(1, b.id, { type: 'push', delta })
}

function sends(outputs: Output[]): Parameters<GossipCore['receive']>[2][] {
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
      key: a.id.slice(-11),
      incarnation: 5,
      status: 'suspect',
      deadReason: null,
      ageMs: 0,
      accusations: [],
    }
    const outputs = deliver(core, { ...EMPTY_DELTA, rumours: [{ ...rumour, status: 'suspect' }] })
    expect(incarnationOf(core)).toBe(6)
    expect(sends(outputs).map((message) => message.type)).toEqual(['push'])
  })

  test('with a report that it never made: jumps past its version', () => {
    const core = coreOf(a)
    core.setLoad(1, { load: 0.5, source: 'flows', ageMs: 0 })
    const entry = { key: a.id.slice(-11), incarnation: 5, factsVersion: 1, status: 'alive', evidence: 0 } as const
    const digest = { complete: true, entries: [{ ...entry, reportVersion: 700 }] }
    core.receive(1, b.id, { type: 'ping', seq: 1, digest, delta: EMPTY_DELTA })
    expect(core.members(1)[0]?.reportVersion).toBe(701)
  })

  test('facts that cannot be gossiped are refused by name', () => {
    expect(codeOf(() => coreOf(a).setFacts(1, factsOf(0, { gossipPort: 0 })))).toBe('E_GOSSIP_FACTS')
  })
})
