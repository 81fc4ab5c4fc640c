import { describe, expect, it } from 'vitest'
import { announcerOf, commonSegment, publishedView } from '../../node/claims.ts'
import { parseBlock } from '../../node/ipv4.ts'
import { memberOf } from './members.ts'

const P = '10.1.0.101'
const RANGES = [parseBlock('10.1.0.96/28')!]
const byId = (_address: string, id: string): number => id.charCodeAt(id.length - 1)

function claims(name: string, epoch: number, status: 'alive' | 'suspect' | 'dead' | 'left' = 'alive') {
  return memberOf(name, { announces: [{ address: P, epoch }] }, { status })
}

describe('announcer', () => {
  const rows: [name: string, members: ReturnType<typeof claims>[], announcer: string | undefined][] = [
    ['nobody claims', [memberOf('h1')], undefined],
    ['one claims', [claims('h1', 1), memberOf('h2')], 'h1'],
    ['the highest epoch counts', [claims('h1', 1), claims('h2', 2)], 'h2'],
    ['a tie goes to the highest rendezvous hash', [claims('h3', 1), claims('h1', 1), claims('h2', 1)], 'h3'],
    ['a suspect still announces', [claims('h1', 2, 'suspect'), claims('h2', 1)], 'h1'],
    ['the dead do not', [claims('h1', 9, 'dead'), claims('h2', 1)], 'h2'],
    ['who left does not', [claims('h1', 9, 'left')], undefined],
  ]
  it.each(rows)('%s', (_name, members, announcer) => {
    expect(announcerOf(P, members, byId)?.facts.name).toBe(announcer)
    expect(announcerOf(P, members.toReversed(), byId)?.facts.name, 'in any order').toBe(announcer)
  })
})

describe('published addresses', () => {
  it('are the homes of all members, the dead included, those who left not', () => {
    const view = publishedView(
      [
        memberOf('h1', { homes: ['10.1.0.102', P] }),
        memberOf('h2', { homes: ['10.1.0.103'] }, { status: 'dead' }),
        memberOf('h3', { homes: ['10.1.0.104'] }, { status: 'left' }),
      ],
      RANGES,
      new Set(),
    )
    expect(view.addresses.map(({ address }) => address)).toEqual([P, '10.1.0.102', '10.1.0.103'])
    expect(view.refused).toEqual([])
  })

  it('names both homes of one address', () => {
    const view = publishedView([memberOf('h1', { homes: [P] }), memberOf('h2', { homes: [P] })], RANGES, new Set())
    expect(view.addresses[0]!.homes.map(({ facts }) => facts.name)).toEqual(['h1', 'h2'])
  })

  it('are at most 1,024, the lowest of them', () => {
    const homes = (from: number, count: number): string[] =>
      Array.from({ length: count }, (_, i) => `10.1.${(from + i) >> 8}.${(from + i) & 255}`)
    const ranges = [parseBlock('10.1.0.0/16')!]
    const members = [memberOf('h1', { homes: homes(600, 600) }), memberOf('h2', { homes: homes(1_200, 26) })]
    const more = memberOf('h3', { homes: homes(100, 400), gossipAddress: '10.2.0.3', attachments: [] })
    const view = publishedView([...members, more], ranges, new Set())
    expect(view.addresses).toHaveLength(1_024)
    expect(view.refused).toEqual([
      expect.stringMatching(/^10\.1\.4\.200 is one published address more/),
      expect.stringMatching(/^10\.1\.4\.201 /),
    ])
  })

  const refusals: [name: string, address: string, why: RegExp][] = [
    ['outside the ranges', '10.1.0.5', /h1 publishes 10\.1\.0\.5, which lies outside publishedRanges/],
    ["a member's own address", '10.1.0.98', /which is the node address of h2/],
    ['a router of this host', '10.1.0.99', /which is a router of this host/],
    ['no address', 'x', /which is no IPv4 address/],
  ]
  it.each(refusals)('refuse %s', (_name, address, why) => {
    const view = publishedView(
      [memberOf('h1', { homes: [address] }), memberOf('h2', { gossipAddress: '10.1.0.98' })],
      RANGES,
      new Set(['10.1.0.99']),
    )
    expect(view.addresses).toEqual([])
    expect(view.refused).toHaveLength(1)
    expect(view.refused[0]).toMatch(why)
  })
})

describe('common segment', () => {
  const on = (segment: string) => ({ segment, address: '10.0.0.1', mac: '02:00:00:00:00:01', mtu: 1_500 })
  it('is the first of ours that the other has too', () => {
    expect(commonSegment([on('a'), on('b')], [on('b'), on('a')])?.ours.segment).toBe('a')
    expect(commonSegment([on('a')], [on('b')])).toBeUndefined()
    expect(commonSegment([on('a')], [])).toBeUndefined()
  })
})
