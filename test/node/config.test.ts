import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { loadConfig, parseConfig } from '../../node/config.ts'
import { DEFAULTS } from '../../node/defaults.ts'
import { NodeError, errorLines } from '../../node/errors.ts'

const MINIMAL = `name: h1
nodeAddress: 10.1.0.1
publishedRanges: ["10.1.0.96/28"]
services: [{ protocol: tcp, port: 80 }]
`

const FULL = `name: h1
nodeAddress: 10.1.0.1
clusterKeyFile: /etc/dpr/cluster.key
gossip:
  port: 7601
  seeds: ["10.1.0.2:7600"]
  mdns: true
  preset: wan
  allow: [12D3KooWLqLxEfJ9nDdEe8Kh8PFvNPQRYDQBwyL7CMM7HhVd5LsX]
  otherClusterKeyFiles: [/etc/dpr/next.key]
publishedRanges: ["10.1.0.96/28"]
published: ["10.1.0.101"]
services: [{ protocol: tcp, port: 80 }, { protocol: tcp, port: 443 }]
attachments: [{ interface: eth0, segment: lan-a }, { interface: eth1 }]
policy: { name: ring, tolerance: 0.1, z: 0, minLoad: 0, slowStartMs: 0 }
capacity: 2.5
load: { source: flows, fullAt: 50 }
datapath: { engine: tun, device: dpr1, flowTableEntries: 4096 }
addressing: ipip
stateDirectory: /tmp/state
runtimeDirectory: /tmp/run
metrics: { listen: "0.0.0.0:9600" }
log: { level: debug, format: pretty }
`

/** Lines that the text is refused with, without `dpr: E_CONFIG_INVALID: `. */
function refusals(text: string, env: Record<string, string> = {}, flags: Record<string, string> = {}): string[] {
  try {
    parseConfig(text, 'c.yaml', env, flags)
  } catch (error) {
    expect(error).toBeInstanceOf(NodeError)
    expect(error).toMatchObject({ code: 'E_CONFIG_INVALID', exitCode: 4 })
    return errorLines(error).map((line) => line.replace('dpr: E_CONFIG_INVALID: ', ''))
  }
  return []
}

/** MINIMAL with one line replaced or added; the line's key decides which. */
function withLine(line: string): string {
  const key = line.split(':', 1)[0]!
  const kept = MINIMAL.split('\n').filter((present) => present !== '' && !present.startsWith(`${key}:`))
  return [...kept, line].join('\n')
}

describe('a valid file', () => {
  test('with the required keys alone is completed from the table of defaults', () => {
    expect(parseConfig(MINIMAL, 'c.yaml')).toEqual({
      name: 'h1',
      nodeAddress: '10.1.0.1',
      clusterKeyFile: '/etc/dpr/cluster.key',
      gossip: { port: DEFAULTS.gossipPort, seeds: [], preset: 'lan', otherClusterKeyFiles: [] },
      publishedRanges: ['10.1.0.96/28'],
      published: [],
      services: [{ protocol: 'tcp', port: 80 }],
      attachments: [],
      policy: {
        name: 'above-average',
        tolerance: DEFAULTS.tolerance,
        z: DEFAULTS.z,
        minLoad: DEFAULTS.minLoad,
        slowStartMs: DEFAULTS.slowStartMs,
      },
      capacity: DEFAULTS.capacity,
      load: { source: 'flows', fullAt: DEFAULTS.fullAt },
      datapath: { engine: 'tun', device: 'dpr0', flowTableEntries: DEFAULTS.flowTableEntries },
      addressing: 'auto',
      stateDirectory: '/var/lib/dpr',
      runtimeDirectory: '/run/dpr',
      metrics: {},
      log: { level: 'info', format: 'json' },
    })
  })

  test('with every key is taken as it is', () => {
    expect(parseConfig(FULL, 'c.yaml')).toMatchObject({
      gossip: {
        port: 7601,
        seeds: ['10.1.0.2:7600'],
        mdns: true,
        preset: 'wan',
        allow: ['12D3KooWLqLxEfJ9nDdEe8Kh8PFvNPQRYDQBwyL7CMM7HhVd5LsX'],
        otherClusterKeyFiles: ['/etc/dpr/next.key'],
      },
      metrics: { listen: '0.0.0.0:9600' },
      attachments: [{ interface: 'eth0', segment: 'lan-a' }, { interface: 'eth1' }],
      policy: { name: 'ring', tolerance: 0.1, z: 0, minLoad: 0, slowStartMs: 0 },
      capacity: 2.5,
      load: { source: 'flows', fullAt: 50 },
      datapath: { engine: 'tun', device: 'dpr1', flowTableEntries: 4096 },
      addressing: 'ipip',
      log: { level: 'debug', format: 'pretty' },
    })
  })

  test('cannot be changed afterwards, at any depth', () => {
    const config = parseConfig(FULL, 'c.yaml')
    expect(Object.isFrozen(config)).toBe(true)
    expect(Object.isFrozen(config.gossip.seeds)).toBe(true)
    expect(Object.isFrozen(config.services[0])).toBe(true)
  })

  test('may use YAML anchors', () => {
    const text = `${MINIMAL}stateDirectory: &dir /srv/dpr\nruntimeDirectory: *dir\n`
    expect(parseConfig(text, 'c.yaml').runtimeDirectory).toBe('/srv/dpr')
  })
})

const UNICAST = 'use a unicast IPv4 address such as 10.1.0.1'
const BLOCK = 'use an IPv4 block in CIDR form without host bits, such as 10.1.0.96/28'
const SEED = 'use ADDRESS:PORT of another node, such as "10.1.0.2:7600"'
const PORT = 'use a whole number from 1 to 65535'
const LISTEN = 'use ADDRESS:PORT of this host, such as "127.0.0.1:9600"'
const ID = 'use the id of a node, 52 characters from 12D3KooW on, as dpr peers --json shows it'
const SOMEBODY = '12D3KooWLqLxEfJ9nDdEe8Kh8PFvNPQRYDQBwyL7CMM7HhVd5LsX'

const BAD_LINES: [name: string, line: string, lines: string[]][] = [
  ['an address that is none', 'nodeAddress: 10.1.0', [`c.yaml:4:14: nodeAddress is "10.1.0"; ${UNICAST}`]],
  ['an octet above 255', 'nodeAddress: 10.1.0.256', [`c.yaml:4:14: nodeAddress is "10.1.0.256"; ${UNICAST}`]],
  ['a leading zero', 'nodeAddress: 10.1.0.01', [`c.yaml:4:14: nodeAddress is "10.1.0.01"; ${UNICAST}`]],
  ['a multicast address', 'nodeAddress: 224.0.0.1', [`c.yaml:4:14: nodeAddress is "224.0.0.1"; ${UNICAST}`]],
  ['loopback', 'nodeAddress: 127.0.0.1', [`c.yaml:4:14: nodeAddress is "127.0.0.1"; ${UNICAST}`]],
  ['IPv6', 'nodeAddress: "fe80::1"', [`c.yaml:4:14: nodeAddress is "fe80::1"; ${UNICAST}`]],
  [
    'a name that YAML reads as a number',
    'name: 12',
    ['c.yaml:4:7: name is 12; use 1 to 63 letters, digits, dots, dashes and underscores, in quotes if it is a number'],
  ],
  [
    'a name with a space',
    'name: "h 1"',
    [
      'c.yaml:4:7: name is "h 1"; use 1 to 63 letters, digits, dots, dashes and underscores, in quotes if it is a number',
    ],
  ],
  ['port 0', 'gossip: { port: 0 }', [`c.yaml:5:17: gossip.port is 0; ${PORT}`]],
  ['port 65536', 'gossip: { port: 65536 }', [`c.yaml:5:17: gossip.port is 65536; ${PORT}`]],
  ['a port in quotes', 'gossip: { port: "80" }', [`c.yaml:5:17: gossip.port is "80"; ${PORT}`]],
  ['half a port', 'gossip: { port: 80.5 }', [`c.yaml:5:17: gossip.port is 80.5; ${PORT}`]],
  ['a seed without port', 'gossip: { seeds: [10.1.0.2] }', [`c.yaml:5:19: gossip.seeds[0] is "10.1.0.2"; ${SEED}`]],
  ['a seed by name', 'gossip: { seeds: ["h2:7600"] }', [`c.yaml:5:19: gossip.seeds[0] is "h2:7600"; ${SEED}`]],
  [
    'seeds that are no list',
    'gossip: { seeds: "10.1.0.2:7600" }',
    ['c.yaml:5:18: gossip.seeds is "10.1.0.2:7600"; use a list: ["10.1.0.2:7600"]'],
  ],
  [
    'a seed twice',
    'gossip: { seeds: ["10.1.0.2:7600", "10.1.0.2:7600"] }',
    ['c.yaml:5:36: gossip.seeds[1] is "10.1.0.2:7600", listed twice; remove one of the two'],
  ],
  ['mdns in quotes', 'gossip: { mdns: "no" }', ['c.yaml:5:17: gossip.mdns is "no"; use true or false']],
  ['a preset that is none', 'gossip: { preset: moon }', ['c.yaml:5:19: gossip.preset is "moon"; use one of lan, wan']],
  ['an id that is none', 'gossip: { allow: [h2] }', [`c.yaml:5:19: gossip.allow[0] is "h2"; ${ID}`]],
  [
    'key files that are no list, and long enough to look like one',
    'gossip: { otherClusterKeyFiles: /etc/dpr/cluster.key.new }',
    [
      'c.yaml:5:33: gossip.otherClusterKeyFiles is "/etc/dpr/cluster.key.new"; use a list: ["/etc/dpr/cluster.key.new"]',
    ],
  ],
  [
    'an id that is none, and empty',
    'gossip: { allow: "" }',
    ['c.yaml:5:18: gossip.allow is ""; use a list: ["12D3KooW…"]'],
  ],
  [
    'nobody allowed',
    'gossip: { allow: [] }',
    [
      'c.yaml:5:18: gossip.allow is []; use at least one id, or leave the key out: then whoever has the cluster key may join',
    ],
  ],
  [
    'an id twice',
    `gossip: { allow: [${SOMEBODY}, ${SOMEBODY}] }`,
    [`c.yaml:5:73: gossip.allow[1] is "${SOMEBODY}", listed twice; remove one of the two`],
  ],
  [
    'the key file as another one',
    'gossip: { otherClusterKeyFiles: [/a, /etc/dpr/cluster.key] }',
    [
      'c.yaml:5:38: gossip.otherClusterKeyFiles[1] is "/etc/dpr/cluster.key", the clusterKeyFile itself; name the files of other keys here: the one to come, or the one before',
    ],
  ],
  [
    'another key file twice',
    'gossip: { otherClusterKeyFiles: [/a, /a] }',
    ['c.yaml:5:38: gossip.otherClusterKeyFiles[1] is "/a", listed twice; remove one of the two'],
  ],
  [
    'too many keys',
    'gossip: { otherClusterKeyFiles: [/a, /b, /c, /d] }',
    ['c.yaml:5:33: gossip.otherClusterKeyFiles is ["/a","/b","/c","/d"]; use at most 3 other keys'],
  ],
  ['metrics without a port', 'metrics: { listen: 10.1.0.1 }', [`c.yaml:5:20: metrics.listen is "10.1.0.1"; ${LISTEN}`]],
  [
    'metrics on a multicast address',
    'metrics: { listen: "224.0.0.1:9600" }',
    [`c.yaml:5:20: metrics.listen is "224.0.0.1:9600"; ${LISTEN}`],
  ],
  [
    'metrics on a published address',
    'metrics: { listen: "10.1.0.97:9600" }',
    [
      'c.yaml:5:20: metrics.listen is "10.1.0.97:9600", inside publishedRanges (10.1.0.96/28); use the node address, 127.0.0.1 or another address of this host alone',
    ],
  ],
  [
    'metrics where gossip listens',
    'metrics: { listen: "10.1.0.1:7600" }',
    ['c.yaml:5:20: metrics.listen is "10.1.0.1:7600", where gossip listens; use another port'],
  ],
  [
    'no ranges',
    'publishedRanges: []',
    ['c.yaml:4:18: publishedRanges is []; use at least one block, such as ["10.1.0.96/28"]'],
  ],
  [
    'a range with host bits',
    'publishedRanges: [10.1.0.101/28]',
    [`c.yaml:4:19: publishedRanges[0] is "10.1.0.101/28"; ${BLOCK}`],
  ],
  [
    'a range without length',
    'publishedRanges: [10.1.0.96]',
    [`c.yaml:4:19: publishedRanges[0] is "10.1.0.96"; ${BLOCK}`],
  ],
  [
    'a range of everything',
    'publishedRanges: [0.0.0.0/0]',
    [`c.yaml:4:19: publishedRanges[0] is "0.0.0.0/0"; ${BLOCK}`],
  ],
  [
    'a range twice',
    'publishedRanges: [10.1.0.96/28, 10.1.0.96/28]',
    ['c.yaml:4:33: publishedRanges[1] is "10.1.0.96/28", listed twice; remove one of the two'],
  ],
  [
    'a node address inside the ranges',
    'publishedRanges: [10.1.0.0/24]',
    [
      'c.yaml:2:14: nodeAddress is "10.1.0.1", inside publishedRanges (10.1.0.0/24), where any node of the cluster may announce it; narrow publishedRanges so that it holds published addresses only',
    ],
  ],
  [
    'a published address outside the ranges',
    'published: [10.1.0.101, 10.1.0.112]',
    [
      'c.yaml:5:25: published[1] is "10.1.0.112", outside publishedRanges (10.1.0.96/28); correct the address, or widen publishedRanges on every node',
    ],
  ],
  [
    'a published address twice',
    'published: [10.1.0.101, 10.1.0.101]',
    ['c.yaml:5:25: published[1] is "10.1.0.101", listed twice; remove one of the two'],
  ],
  [
    'published without a list',
    'published: 10.1.0.101',
    ['c.yaml:5:12: published is "10.1.0.101"; use a list: ["10.1.0.101"]'],
  ],
  [
    'no services',
    'services: []',
    ['c.yaml:4:11: services is []; use at least one service, such as [{ protocol: tcp, port: 80 }]'],
  ],
  [
    'a service twice',
    'services: [{ protocol: tcp, port: 80 }, { protocol: tcp, port: 81 }, { protocol: tcp, port: 80 }]',
    ['c.yaml:4:70: services[2] is {"protocol":"tcp","port":80}, listed twice; remove one of the two'],
  ],
  [
    'an unknown protocol',
    'services: [{ protocol: udp, port: 80 }]',
    ['c.yaml:4:24: services[0].protocol is "udp"; use tcp: udp is not supported yet'],
  ],
  ['a service without port', 'services: [{ protocol: tcp }]', [`c.yaml:4:12: services[0].port is missing; ${PORT}`]],
  [
    'a slip in a nested key',
    'services: [{ protocol: tcp, prot: 80 }]',
    [
      `c.yaml:4:12: services[0].port is missing; ${PORT}`,
      'c.yaml:4:29: services[0].prot is no known key; did you mean services[0].port?',
    ],
  ],
  ['a slip in a top-level key', 'polcy: { name: ring }', ['c.yaml:5:1: polcy is no known key; did you mean policy?']],
  [
    'swapped letters in a key',
    'policy: { tolreance: 0.1 }',
    ['c.yaml:5:11: policy.tolreance is no known key; did you mean policy.tolerance?'],
  ],
  [
    'a key that resembles nothing',
    'gossip: { cleartext: true }',
    [
      'c.yaml:5:11: gossip.cleartext is no known key; use one of port, seeds, mdns, preset, allow, otherClusterKeyFiles',
    ],
  ],
  [
    'an unknown policy',
    'policy: { name: least-loaded }',
    ['c.yaml:5:17: policy.name is "least-loaded"; use one of above-average, ring, hash, router, local'],
  ],
  [
    'a negative tolerance',
    'policy: { tolerance: -1 }',
    ['c.yaml:5:22: policy.tolerance is -1; use a number from 0 to 10'],
  ],
  [
    'a tolerance that is no number',
    'policy: { tolerance: .nan }',
    ['c.yaml:5:22: policy.tolerance is NaN; use a number from 0 to 10'],
  ],
  ['an endless z', 'policy: { z: .inf }', ['c.yaml:5:14: policy.z is Infinity; use a number from 0 to 10']],
  ['minLoad in per cent', 'policy: { minLoad: 5 }', ['c.yaml:5:20: policy.minLoad is 5; use a number from 0 to 1']],
  [
    'a duration with a unit',
    'policy: { slowStartMs: 10s }',
    ['c.yaml:5:24: policy.slowStartMs is "10s"; use a whole number from 0 to 600000'],
  ],
  ['no capacity', 'capacity: 0', ['c.yaml:5:11: capacity is 0; use a number above 0 and at most 1000']],
  ['fullAt 0', 'load: { fullAt: 0 }', ['c.yaml:5:17: load.fullAt is 0; use a number above 0 and at most 10000000']],
  ['an unknown source', 'load: { source: cpu }', ['c.yaml:5:17: load.source is "cpu"; use flows']],
  ['an empty section', 'load:', ['c.yaml:5:6: load is null; use a mapping with the keys source, fullAt']],
  [
    'a section that is a value',
    'log: debug',
    ['c.yaml:5:6: log is "debug"; use a mapping with the keys level, format'],
  ],
  [
    'a device name that is too long',
    'datapath: { device: redirector-device }',
    ['c.yaml:5:21: datapath.device is "redirector-device"; use the name of a network interface, 1 to 15 characters'],
  ],
  [
    'a tiny flow table',
    'datapath: { flowTableEntries: 10 }',
    ['c.yaml:5:31: datapath.flowTableEntries is 10; use a whole number from 1024 to 16777216'],
  ],
  [
    'an interface twice',
    'attachments: [{ interface: eth0, segment: a }, { interface: eth0, segment: b }]',
    ['c.yaml:5:61: attachments[1].interface is "eth0", listed twice; remove one of the two'],
  ],
  [
    'a segment twice',
    'attachments: [{ interface: eth0, segment: a }, { interface: eth1, segment: a }]',
    ['c.yaml:5:76: attachments[1].segment is "a", listed twice; remove one of the two'],
  ],
  [
    'an attachment to our own device',
    'attachments: [{ interface: dpr0 }]',
    [
      'c.yaml:5:28: attachments[0].interface is "dpr0", the name of datapath.device, which dpr creates itself; name the interface of the network here, and another datapath.device',
    ],
  ],
  ['a relative path', 'stateDirectory: state', ['c.yaml:5:17: stateDirectory is "state"; use an absolute path']],
  [
    'a runtime directory too deep for a socket',
    `runtimeDirectory: /${'r'.repeat(94)}`,
    [
      `c.yaml:5:19: runtimeDirectory is "/${'r'.repeat(58)}…; use an absolute path of at most 94 bytes: it holds a Unix socket`,
    ],
  ],
  [
    'an unknown level',
    'log: { level: loud }',
    ['c.yaml:5:15: log.level is "loud"; use one of trace, debug, info, warn, error, fatal, silent'],
  ],
]

describe('a bad value is named with its place, its key, itself and what would be right', () => {
  test.each(BAD_LINES)('%s', (_name, line, lines) => {
    expect(refusals(withLine(line))).toEqual(lines)
  })
})

describe('a file that is wrong as a whole', () => {
  test('empty: every required key is missing', () => {
    expect(refusals('')).toEqual([
      expect.stringMatching(/^c\.yaml:1:1: name is missing; /u),
      `c.yaml:1:1: nodeAddress is missing; ${UNICAST}`,
      'c.yaml:1:1: publishedRanges is missing; use a list: ["10.1.0.96/28"]',
      'c.yaml:1:1: services is missing; use a list: [{ protocol: tcp, port: 80 }]',
    ])
  })

  const SYNTAX = 'correct the syntax there: spaces for indentation, one colon and a space after each key'
  const BROKEN: [name: string, text: string, line: string][] = [
    ['a list', '- name', 'c.yaml:1:1: this is no mapping; use a mapping with the keys name, nodeAddress,'],
    ['a key twice', 'name: a\nname: b\n', `c.yaml:2:1: this is no valid YAML (Map keys must be unique); ${SYNTAX}`],
    ['a quote left open', 'name: "h1\n', 'c.yaml:2:1: this is no valid YAML (Missing closing "quote); '],
    [
      'two documents',
      'name: a\n---\nname: b\n',
      'c.yaml:2:1: this is no valid YAML (Source contains multiple documents); ',
    ],
    ['an alias of nothing', 'name: *a\n', 'c.yaml:1:7: this is no valid YAML (Unresolved alias'],
  ]
  test.each(BROKEN)('%s', (_name, text, line) => {
    expect(refusals(text)[0]).toContain(line)
  })

  test('aliases that would expand without end are refused, not expanded', () => {
    const levels = Array.from({ length: 20 }, (_, n) => `l${n + 1}: &l${n + 1} [${'*l' + n + ', '}*l${n}]`)
    expect(refusals(['l0: &l0 [x, x]', ...levels].join('\n'))[0]).toContain('this is no valid YAML')
  })

  test('all problems are listed at once: of the schema, of the rules, of unknown keys', () => {
    const text = `name: h1
nodeAddress: 10.1.0.300
gossip: { port: 70000 }
publishedRanges: ["10.1.0.96/28"]
published: ["10.2.0.1"]
services: [{ protocol: tcp, port: 80 }]
polcy: {}
`
    expect(refusals(text).map((line) => line.split(' ', 2).join(' '))).toEqual([
      'c.yaml:2:14: nodeAddress',
      'c.yaml:3:17: gossip.port',
      'c.yaml:7:1: polcy',
      'c.yaml:5:13: published[0]',
    ])
  })

  test('a published address that is the node address is one problem, not two', () => {
    const text = withLine('published: [10.1.0.97]').replace('10.1.0.1\n', '10.1.0.97\n')
    expect(refusals(text)).toEqual([
      'c.yaml:5:13: published[0] is "10.1.0.97", the nodeAddress of this node; publish another address: the node address is where peers reach this host itself',
    ])
  })
})

describe('environment over file, flags over environment', () => {
  const env = {
    DPR_NAME: 'from-env',
    DPR_NODE_ADDRESS: '10.1.0.2',
    DPR_GOSSIP_PORT: '7700',
    DPR_SEEDS: '10.1.0.3:7600, 10.1.0.4:7600,',
    DPR_POLICY: 'hash',
    DPR_STATE_DIRECTORY: '/s',
    DPR_RUNTIME_DIRECTORY: '/r',
    DPR_LOG_LEVEL: 'warn',
  }

  test('every variable reaches its key', () => {
    expect(parseConfig(FULL, 'c.yaml', env)).toMatchObject({
      name: 'from-env',
      nodeAddress: '10.1.0.2',
      gossip: { port: 7700, seeds: ['10.1.0.3:7600', '10.1.0.4:7600'] },
      policy: { name: 'hash', tolerance: 0.1 },
      stateDirectory: '/s',
      runtimeDirectory: '/r',
      log: { level: 'warn', format: 'pretty' },
    })
  })

  test('a flag wins over a variable, and sections that the file lacks are made', () => {
    const config = parseConfig(MINIMAL, 'c.yaml', env, { name: 'from-flag', 'log-level': 'error' })
    expect(config).toMatchObject({
      name: 'from-flag',
      nodeAddress: '10.1.0.2',
      log: { level: 'error', format: 'json' },
    })
  })

  test('an empty variable is an unset one', () => {
    expect(parseConfig(FULL, 'c.yaml', { DPR_NAME: '', DPR_SEEDS: '' })).toMatchObject({
      name: 'h1',
      gossip: { seeds: ['10.1.0.2:7600'] },
    })
  })

  const ORIGINS: [name: string, env: Record<string, string>, flags: Record<string, string>, line: string][] = [
    ['a variable', { DPR_GOSSIP_PORT: 'x' }, {}, `from DPR_GOSSIP_PORT: gossip.port is "x"; ${PORT}`],
    ['a flag', {}, { 'gossip-port': '0' }, `from --gossip-port: gossip.port is 0; ${PORT}`],
    [
      'the flag, where both are given',
      { DPR_NODE_ADDRESS: 'a' },
      { 'node-address': 'b' },
      `from --node-address: nodeAddress is "b"; ${UNICAST}`,
    ],
    ['one item of a list', { DPR_SEEDS: '10.1.0.2:7600,h3' }, {}, `from DPR_SEEDS: gossip.seeds[1] is "h3"; ${SEED}`],
    [
      'an empty flag',
      {},
      { 'state-directory': '' },
      'from --state-directory: stateDirectory is ""; use an absolute path',
    ],
    ['services', {}, { services: 'tcp/80,tcp/x' }, `from --services: services[1].port is "x"; ${PORT}`],
    [
      'a service without port',
      {},
      { services: 'tcp' },
      'from --services: services[0] is "tcp"; use a mapping with the keys protocol, port',
    ],
  ]
  test.each(ORIGINS)('a message names the origin: %s', (_name, env, flags, line) => {
    expect(refusals(MINIMAL, env, flags)).toEqual([line])
  })

  test('a section that is no mapping is reported once, at its place', () => {
    expect(refusals(withLine('gossip: 5'), { DPR_GOSSIP_PORT: '7600' })).toEqual([
      'c.yaml:5:9: gossip is 5; use a mapping with the keys port, seeds, mdns, preset, allow, otherClusterKeyFiles',
    ])
  })
})

describe('loadConfig', () => {
  const dir = mkdtempSync(join(tmpdir(), 'dpr-config-'))
  afterAll(() => rmSync(dir, { recursive: true }))
  const file = join(dir, 'config.yaml')
  writeFileSync(file, MINIMAL)

  test('reads the named file, else the one of DPR_CONFIG', () => {
    expect(loadConfig({ file, env: { DPR_CONFIG: '/nowhere' }, flags: {} }).name).toBe('h1')
    expect(loadConfig({ env: { DPR_CONFIG: file }, flags: {} }).name).toBe('h1')
  })

  test('a file that is missing is E_CONFIG_MISSING and says how to make one', () => {
    const missing = join(dir, 'nothing.yaml')
    expect(() => loadConfig({ file: missing, env: {}, flags: {} })).toThrow(
      expect.objectContaining({
        code: 'E_CONFIG_MISSING',
        message: `no configuration file at ${missing}`,
        remedy: expect.stringContaining('dpr init'),
      }),
    )
  })

  test('a directory is E_CONFIG_MISSING with the reason', () => {
    expect(() => loadConfig({ file: dir, env: {}, flags: {} })).toThrow(`cannot read ${dir} (EISDIR)`)
  })

  test('a file that is far too large is not parsed', () => {
    const large = join(dir, 'large.yaml')
    writeFileSync(large, Buffer.alloc(1_048_577, '#'))
    expect(() => loadConfig({ file: large, env: {}, flags: {} })).toThrow('has 1048577 bytes, more than 1048576')
  })
})
