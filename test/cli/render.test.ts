import { describe, expect, test } from 'vitest'
import { renderPeers } from '../../cli/render-peers.ts'
import { renderStatus } from '../../cli/render-status.ts'
import { duration } from '../../cli/units.ts'
import { peer, status } from '../node/control-fixtures.ts'

const plain = (_tone: string, text: string): string => text
const toned = (tone: string, text: string): string => `<${tone}>${text}`

describe('peers', () => {
  test('a line for each member, columns aligned, nothing after the last word', () => {
    const table = renderPeers(
      [
        peer('h1', {
          self: true,
          mode: 'self',
          homes: ['10.1.0.101'],
          announces: [{ address: '10.1.0.101', epoch: 1 }],
        }),
        peer('h2', { address: '10.1.0.12', load: 1.5, flows: 1234, draining: true, reportAgeMs: 1_500 }),
        peer('h3', {
          status: 'dead',
          deadReason: 'daemon-only',
          mode: null,
          eligible: false,
          flows: 0,
          healthy: false,
        }),
      ],
      plain,
    )
    expect(table).toBe(
      [
        'NAME            STATUS                         ADDRESS    LOAD  FLOWS  MODE  NEW FLOWS  ANNOUNCES             HOMES           REPORT',
        'h1 (this node)  alive                          10.1.0.1   0.25     12  self  yes        10.1.0.101 (epoch 1)  10.1.0.101           -',
        'h2              alive, draining                10.1.0.12  1.50   1234  mac   yes        -                     -            1.5 s ago',
        'h3              dead (daemon-only), unhealthy  10.1.0.1   0.25      0  -     no         -                     -           120 ms ago',
      ].join('\n'),
    )
  })

  test.each<[name: string, changes: Parameters<typeof peer>[1], text: string]>([
    ['alive is good', {}, '<good>alive'],
    ['suspect is doubtful', { status: 'suspect' }, '<doubtful>suspect'],
    ['draining is doubtful', { draining: true }, '<doubtful>alive, draining'],
    ['dead is bad', { status: 'dead', deadReason: 'silent' }, '<bad>dead (silent)'],
    ['unhealthy is bad', { healthy: false }, '<bad>alive, unhealthy'],
    ['left is doubtful', { status: 'left' }, '<doubtful>left'],
  ])('%s', (_name, changes, text) => {
    expect(renderPeers([peer('h', changes)], toned)).toContain(text)
  })
})

describe('status', () => {
  test('one fact a line; of drops and events only those that occurred, the most frequent first', () => {
    expect(renderStatus(status({ warnings: ['h2: no path', 'limit reached'] }), toned)).toBe(
      `node                       h1 (id-h1)
version                    0.1.0, process 4711, up 1 min
policy                     above-average
datapath                   tun, snapshot 7
steering                   <good>on
membership                 3 alive, 1 dead; last answer 120 ms ago
cluster key                a1b2c3d4 (2 links)
announces                  10.1.0.101
homes                      10.1.0.101
load                       0.50 (cluster 0.25)
active flows               42 (kept here below 50)
new flows                  10 local, 20 redirected, 30 received
packets                    1 local, 2 by mac, 3 by ipip, 4 decapsulated, 5 held, 3 dropped
dropped: bad-checksum      2
dropped: truncated-header  1
event: orphans-held        4
warning                    <doubtful>h2: no path
warning                    <doubtful>limit reached`,
    )
  })

  test('doubt, and a key that is being changed', () => {
    const text = renderStatus(
      status({
        unsure: true,
        members: { alive: 1, suspect: 0, dead: 0, left: 0 },
        lastExchangeAgeMs: null,
        keys: [
          { fingerprint: 'aaaaaaaa', links: 0 },
          { fingerprint: 'bbbbbbbb', links: 1 },
        ],
        allowed: 5,
      }),
      toned,
    )
    expect(text).toContain(
      'membership                 <doubtful>unsure: announces nothing, new flows stay; 1 alive; nobody has answered yet\n',
    )
    expect(text).toContain(
      'cluster key                aaaaaaaa (0 links), accepted besides: bbbbbbbb (1 link); 5 nodes are allowed\n',
    )
  })

  test('what is absent is said in words', () => {
    const text = renderStatus(status({ localLimit: null, announces: [], homes: [], steering: 'open' }), toned)
    expect(text).toContain('kept here below any number')
    expect(text).toMatch(/announces +nothing/u)
    expect(text).toMatch(/homes +none/u)
    expect(text).toContain('<bad>open')
  })
})

test.each([
  [0, '0 ms'],
  [999.4, '999 ms'],
  [1_000, '1.0 s'],
  [59_900, '59.9 s'],
  [60_000, '1 min'],
  [3_599_999, '59 min'],
  [3_600_000, '1.0 h'],
  [86_400_000 * 3.5, '3 d'],
])('%i ms are shown as %s', (ms, text) => {
  expect(duration(ms)).toBe(text)
})
