import { describe, expect, test } from 'vitest'
import { MdnsRecords, mdnsTag } from '../../node/mdns-records.ts'

const OURS = mdnsTag(new Uint8Array(32).fill(1))
const OTHERS = mdnsTag(new Uint8Array(32).fill(2))
const ID = '12D3KooWLqLxEfJ9nDdEe8Kh8PFvNPQRYDQBwyL7CMM7HhVd5LsX'

function node(number: number, tags: readonly string[] = [OURS], random = () => 0.5): MdnsRecords {
  const id = ID.slice(0, -2) + String(number).padStart(2, 'x')
  return new MdnsRecords({ id, address: `10.1.0.${number}`, port: 7_600 }, tags, 0, random)
}

/** What the one hears when the other answers. */
function heard(listener: MdnsRecords, speaker: MdnsRecords, nowMs = 0, ttl = 120): string[] {
  return listener.response({ answers: speaker.answers(ttl) }, nowMs)
}

/** What the other would send after this one's question. */
function asked(asker: MdnsRecords, answerer: MdnsRecords, nowMs: number, port = 5_353): number {
  const { questions } = asker.due(nowMs)
  answerer.due(nowMs)
  answerer.question(questions === undefined ? {} : { questions }, port, nowMs)
  for (let t = nowMs; t < nowMs + 1_200; t++) if (answerer.due(t).answers !== undefined) return t - nowMs
  return -1
}

describe('the tag', () => {
  test('is the same for the same key, another for another, and short', () => {
    expect(mdnsTag(new Uint8Array(32).fill(1))).toBe(OURS)
    expect(OTHERS).not.toBe(OURS)
    expect(OURS).toMatch(/^[0-9a-f]{16}$/u)
  })
})

describe('hints', () => {
  test('a node of the cluster is found at its node address', () => {
    expect(heard(node(1), node(2))).toEqual(['10.1.0.2:7600'])
  })

  test('with two keys in use, nodes that share one find each other', () => {
    expect(heard(node(1, [OURS, OTHERS]), node(2, [OTHERS]))).toEqual(['10.1.0.2:7600'])
    expect(heard(node(2, [OTHERS]), node(1, [OURS, OTHERS]))).toEqual(['10.1.0.1:7600'])
  })

  test('names are compared without regard to case', () => {
    const answers = node(2)
      .answers(120)
      .map((answer) => ({ ...answer, name: answer.name.toUpperCase() }))
    expect(node(1).response({ answers }, 0)).toEqual(['10.1.0.2:7600'])
  })

  const rows: { name: string; hints: () => string[] }[] = [
    { name: 'another cluster', hints: () => heard(node(1), node(2, [OTHERS])) },
    { name: 'this node itself', hints: () => heard(node(1), node(1)) },
    { name: 'a goodbye', hints: () => heard(node(1), node(2), 0, 0) },
    {
      name: 'an answer without its address',
      hints: () => node(1).response({ answers: node(2).answers(1).slice(0, 2) }, 0),
    },
    {
      name: 'an address that is none',
      hints: () => node(1).response({ answers: forged('10.1.0.999') }, 0),
    },
    { name: 'a multicast address', hints: () => node(1).response({ answers: forged('224.0.0.1') }, 0) },
    { name: 'loopback', hints: () => node(1).response({ answers: forged('127.0.0.1') }, 0) },
    { name: 'port 0', hints: () => node(1).response({ answers: forged('10.1.0.9', 0) }, 0) },
    { name: 'an empty packet', hints: () => node(1).response({}, 0) },
  ]
  test.each(rows)('$name is none', ({ hints }) => {
    expect(hints()).toEqual([])
  })

  test('many in one packet, or in one second, are cut off', () => {
    const listener = node(1)
    const many = Array.from({ length: 40 }, (_, i) => forged(`10.2.0.${i + 1}`).slice(1)).flat()
    const answers = [...forged('10.2.0.1').slice(0, 1), ...many]
    expect(listener.response({ answers }, 0).length).toBeLessThanOrEqual(32)
    let taken = 0
    for (let i = 0; i < 500; i++) taken += heard(listener, node(2 + (i % 50)), 1_000).length
    expect(taken).toBe(64)
    expect(heard(listener, node(2), 2_000)).toHaveLength(1)
  })
})

/** An answer of a node of the cluster with another address. */
function forged(address: string, port = 7_600) {
  return node(2)
    .answers(120)
    .map((answer) => {
      if (answer.type === 'A') return { ...answer, data: address }
      return answer.type === 'SRV' ? { ...answer, data: { ...answer.data, port } } : answer
    })
}

describe('questions', () => {
  test('are asked at 0, 1 and 3 seconds and then every 20 to 25', () => {
    const one = node(1)
    const times: number[] = []
    for (let t = 0; t < 60_000; t += 100) if (one.due(t).questions !== undefined) times.push(t)
    expect(times.slice(0, 3)).toEqual([0, 1_000, 3_000])
    expect(times.slice(3)).toEqual([25_500, 48_000])
  })

  test('are left out while others ask, and asked anew when the keys change', () => {
    const [one, two] = [node(1), node(2)]
    const times: number[] = []
    for (let t = 0; t < 40_000; t += 100) {
      if (t > 3_000 && t % 10_000 === 0) one.question({ questions: two.due(0).questions ?? QUESTIONS }, 5_353, t)
      if (one.due(t).questions !== undefined) times.push(t)
    }
    expect(times).toEqual([0, 1_000, 3_000])
    one.setTags([OURS, OTHERS], 40_000)
    expect(one.due(40_000).questions).toHaveLength(2)
    expect(one.due(41_000).questions).toHaveLength(2)
  })

  test('are answered after 20 to 120 ms, and not again within a second', () => {
    expect(
      asked(
        node(1),
        node(2, [OURS], () => 0),
        0,
      ),
    ).toBe(20)
    const two = node(2, [OURS], () => 0.999)
    expect(asked(node(1), two, 0)).toBe(120)
    expect(asked(node(3), two, 200)).toBe(920)
  })

  const rows: { name: string; asker: MdnsRecords; port?: number }[] = [
    { name: 'of another cluster', asker: node(1, [OTHERS]) },
    { name: 'from another port, which wants an answer by unicast', asker: node(1), port: 40_000 },
  ]
  test.each(rows)('$name are not answered', ({ asker, port }) => {
    expect(asked(asker, node(2), 0, port)).toBe(-1)
  })

  test('that make no sense are not answered', () => {
    const two = node(2)
    two.due(0)
    two.question({}, 5_353, 0)
    two.question({ questions: [{ name: `${OURS}._sub._dpr._tcp.local`, type: 'TXT' }] }, 5_353, 0)
    expect(two.due(500).answers).toBeUndefined()
  })
})

const QUESTIONS = [{ name: `${OURS}._sub._dpr._tcp.local`, type: 'PTR' as const }]
