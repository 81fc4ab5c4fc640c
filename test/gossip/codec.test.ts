/** Messages as bytes: golden vectors both ways, and garbage that must end in a verdict. */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { packValue, unpackValue } from '../../gossip/bounded-msgpack.ts'
import { PROTOCOL_VERSION, decodeMessage, encodeMessage } from '../../gossip/codec.ts'
import { FrameDecoder, encodeFrame } from '../../gossip/framing.ts'
import { EMPTY_DELTA, NO_REPORTS, shortId } from '../../gossip/messages.ts'
import type { DigestEntry, Message } from '../../gossip/messages.ts'

const ID = '12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69Lr2NASuq'
const OTHER = '12D3KooWRndVhVZPCiQwHBBBdg769GyrPUW13zxwqQyf9r3ANaba'
/** The last eight digits, W6d69Lr2NASuq…: 9Lr2NASuq less one. */
const ENTRY: DigestEntry = {
  key: shortId(ID),
  incarnation: 7,
  factsVersion: 2,
  status: 'suspect',
  evidence: 0xdead_beef,
}
const REPORTS = Buffer.from('0123456789ab 07 ac02 19 8827 01'.replaceAll(' ', ''), 'hex')
const FULL: Message = {
  type: 'ack',
  seq: 4_000_000_000,
  reports: REPORTS,
  delta: {
    facts: [{ bytes: Buffer.from('c0', 'hex'), signature: Buffer.alloc(64, 1) }],
    rumours: [
      {
        key: ENTRY.key,
        incarnation: 7,
        status: 'dead',
        deadReason: 'daemon-only',
        ageMs: 1000,
        accusations: [
          {
            accused: ID,
            incarnation: 7,
            accuser: OTHER,
            accuserIncarnation: 9,
            bucket: 12,
            kind: 'refused',
            signature: Buffer.alloc(64, 2),
          },
        ],
      },
    ],
  },
  wants: [ENTRY],
  digest: { complete: false, entries: [ENTRY] },
}

const idHex = Buffer.from(ID).toString('hex')
const otherHex = Buffer.from(OTHER).toString('hex')
/** 110,003,017,498,010 as a double. */
const keyHex = `cb${doubleHex(ENTRY.key)}`
const entryHex = `95 ${keyHex} 07 02 01 cedeadbeef`

function doubleHex(value: number): string {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return bytes.toString('hex')
}

const golden: { name: string; message: Message; hex: string }[] = [
  {
    name: 'a ping in steady state',
    message: { type: 'ping', seq: 5, view: 0x89abcdef, reports: REPORTS, delta: EMPTY_DELTA },
    hex: `02 84 a174 00 a16e 05 a176 ce89abcdef a172 c40d 0123456789ab 07 ac02 19 8827 01`,
  },
  {
    name: 'a greeting with one digest entry',
    message: {
      type: 'ping',
      seq: 5,
      view: 1,
      reports: NO_REPORTS,
      delta: EMPTY_DELTA,
      digest: { complete: true, entries: [ENTRY] },
    },
    hex: `02 85 a174 00 a16e 05 a176 01 a163 c3 a164 91 ${entryHex}`,
  },
  {
    name: 'an ack with everything',
    message: FULL,
    hex: `02 88 a174 01 a16e ceee6b2800 a172 c40d 0123456789ab 07 ac02 19 8827 01
      a163 c2 a164 91 ${entryHex} a177 91 ${entryHex}
      a166 91 92 c401c0 c440${'01'.repeat(64)}
      a175 91 97 ${keyHex} 07 02 01 cd03e8 d934${idHex} 91 95 d934${otherHex} 09 0c 01 c440${'02'.repeat(64)}`,
  },
  {
    name: 'a request to probe another',
    message: { type: 'ping-req', seq: 6, target: ID },
    hex: `02 83 a174 02 a16e 06 a167 d934${idHex}`,
  },
  { name: 'a relayed answer', message: { type: 'relayed-ack', seq: 6 }, hex: '02 82 a174 03 a16e 06' },
  { name: 'a helper that could not help', message: { type: 'nack', seq: 6 }, hex: '02 82 a174 04 a16e 06' },
  { name: 'an empty push', message: { type: 'push', delta: EMPTY_DELTA, wants: [] }, hex: '02 81 a174 05' },
]

/** Without the difference between kinds of byte arrays. */
function plain(message: Message): unknown {
  return JSON.parse(
    JSON.stringify(message, (_key, value: unknown) => {
      if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
      const data = typeof value === 'object' && value !== null && 'data' in value ? value.data : undefined
      return Array.isArray(data) ? Buffer.from(data as number[]).toString('hex') : value
    }),
  )
}

test('a short id is the last eight base58 digits', () => {
  expect(shortId('12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d6911111112')).toBe(1)
  expect(shortId('12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69zzzzzzzz')).toBe(58 ** 8 - 1)
})

describe('golden bytes', () => {
  test.each(golden)('$name', ({ message, hex }) => {
    const bytes = hex.replaceAll(/\s/g, '')
    expect(Buffer.from(encodeMessage(message)).toString('hex')).toBe(bytes)
    const verdict = decodeMessage(Buffer.from(bytes, 'hex'))
    expect(verdict.ok && encodeMessage(verdict.message)).toEqual(encodeMessage(message))
    expect(verdict.ok && plain(verdict.message)).toEqual(plain(message))
  })
})

describe('a message is refused', () => {
  const change = (path: string, value: unknown): Uint8Array => {
    const map = unpackValue(encodeMessage(FULL).subarray(1)) as Record<string, unknown>
    const steps = path.split('.')
    let at: Record<string, unknown> = map
    for (const step of steps.slice(0, -1)) at = at[step] as Record<string, unknown>
    at[steps.at(-1)!] = value
    return Buffer.concat([Buffer.from([PROTOCOL_VERSION]), packValue(map)])
  }
  test('(unchanged, it is accepted)', () => {
    expect(decodeMessage(change('n', 1)).ok).toBe(true)
  })
  test.each([
    { name: 'an unknown type', path: 't', value: 6 },
    { name: 'a type that is no number', path: 't', value: 'ping' },
    { name: 'a negative number', path: 'n', value: -1 },
    { name: 'a digest that is no list', path: 'd', value: { length: 1 } },
    { name: 'a key that is no number', path: 'd.0.0', value: 'short' },
    { name: 'a key out of range', path: 'd.0.0', value: 58 ** 8 },
    { name: 'an incarnation beyond the limit', path: 'd.0.1', value: 2 ** 49 },
    { name: 'an incarnation that is no whole number', path: 'd.0.1', value: 1.5 },
    { name: 'an unknown status', path: 'd.0.3', value: 4 },
    { name: 'evidence beyond 32 bits', path: 'd.0.4', value: 2 ** 32 },
    { name: 'a digest that is too long', path: 'd', value: Array.from({ length: 1025 }, () => []) },
    { name: 'a signature that is too short', path: 'f.0.1', value: new Uint8Array(63) },
    { name: 'facts that are no bytes', path: 'f.0.0', value: 'text' },
    { name: 'reports that are no bytes', path: 'r', value: [1, 2] },
    { name: 'reports without end', path: 'r', value: new Uint8Array(65_537) },
    { name: 'a digest that does not say whether it is complete', path: 'c', value: 1 },
    { name: 'wants that are no list', path: 'w', value: 5 },
    { name: 'a negative age', path: 'u.0.4', value: -1 },
    { name: 'an age that is no number', path: 'u.0.4', value: Number.NaN },
    { name: 'a rumour of life', path: 'u.0.2', value: 0 },
    { name: 'death without a reason', path: 'u.0.3', value: 0 },
    { name: 'an accused that is no peer id', path: 'u.0.5', value: 'x'.repeat(52) },
    { name: 'too many accusations', path: 'u.0.6', value: Array.from({ length: 9 }, () => []) },
    { name: 'an accuser that is no peer id', path: 'u.0.6.0.0', value: 'QmNotEd25519' },
    { name: 'an unknown kind of accusation', path: 'u.0.6.0.3', value: 2 },
  ])('$name', ({ path, value }) => {
    expect(decodeMessage(change(path, value))).toEqual({ ok: false, reason: 'malformed' })
  })

  test.each([
    { name: 'nothing', hex: '', reason: 'empty' },
    { name: 'another version', hex: '0180', reason: 'version' },
    { name: 'no map', hex: '0290', reason: 'malformed' },
    { name: 'bytes after the end', hex: '0281a17405c0', reason: 'malformed' },
    { name: 'an array that announces 2^25 items', hex: '02dd02000000', reason: 'malformed' },
    { name: 'a map that announces 2^32 - 1 pairs', hex: '02dfffffffff', reason: 'malformed' },
    { name: 'a text longer than the message', hex: '02dbffffffff61', reason: 'malformed' },
    { name: 'nesting without end', hex: `02${'91'.repeat(500)}c0`, reason: 'malformed' },
    { name: 'an extension type', hex: '02d40000', reason: 'malformed' },
  ])('$name', ({ hex, reason }) => {
    expect(decodeMessage(Buffer.from(hex, 'hex'))).toEqual({ ok: false, reason })
  })
})

test('an unknown field is no fault', () => {
  const bytes = Buffer.concat([Buffer.from([PROTOCOL_VERSION]), packValue({ t: 4, n: 1, later: ['more'] })])
  expect(decodeMessage(bytes)).toEqual({ ok: true, message: { type: 'nack', seq: 1 } })
})

test('mutated messages never throw, and what is accepted can be said again', () => {
  const originals = golden.map(({ message }) => encodeMessage(message))
  const mutation = fc.record({
    original: fc.constantFrom(...originals),
    edits: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }),
    cut: fc.option(fc.nat(), { nil: undefined }),
    tail: fc.uint8Array({ maxLength: 8 }),
  })
  fc.assert(
    fc.property(mutation, ({ original, edits, cut, tail }) => {
      const bytes = Buffer.concat([original.slice(0, cut === undefined ? undefined : cut % original.length), tail])
      for (const [at, value] of edits) if (bytes.length > 0) bytes[at % bytes.length] = value
      const verdict = decodeMessage(bytes)
      if (verdict.ok) expect(decodeMessage(encodeMessage(verdict.message)).ok).toBe(true)
    }),
    { numRuns: 20_000, seed: 20_261 },
  )
})

describe('frames', () => {
  test('however the stream is cut, the same frames come out', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), fc.integer({ min: 1, max: 17 }), (bodies, step) => {
        const stream = Buffer.concat(bodies.map(encodeFrame))
        const decoder = new FrameDecoder(40)
        const frames: Uint8Array[] = []
        for (let at = 0; at < stream.length; at += step) frames.push(...decoder.push(stream.subarray(at, at + step))!)
        expect(frames.map((frame) => [...frame])).toEqual(bodies.map((body) => [...body]))
      }),
      { numRuns: 300, seed: 20_262 },
    )
  })

  test('a frame beyond the bound is refused by its header alone', () => {
    const decoder = new FrameDecoder(40)
    expect(decoder.push(encodeFrame(new Uint8Array(40)))).toHaveLength(1)
    expect(decoder.push(Buffer.from('00000029', 'hex'))).toBeUndefined()
  })
})
