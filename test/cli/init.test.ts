import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { PLACEHOLDER_RANGES, renderConfig } from '../../cli/config-template.ts'
import { defaultRouteInterface, guessName } from '../../cli/guesses.ts'
import { generateClusterKey, readClusterKeyFile } from '../../node/cluster-key-file.ts'
import { loadConfig, parseConfig } from '../../node/config.ts'
import { runDpr } from './run-dpr.ts'

let dir: string
let config: string
let key: string
beforeEach(() => {
  dir = join(mkdtempSync(join(tmpdir(), 'dpr-init-')), 'etc', 'dpr')
  config = join(dir, 'config.yaml')
  key = join(dir, 'cluster.key')
})
afterEach(() => rmSync(join(dir, '..', '..'), { recursive: true, force: true }))

const ADDRESS = ['--node-address', '10.1.0.1']

function init(...flags: string[]) {
  return runDpr(['init', '--dir', dir, ...flags])
}

describe('dpr init', () => {
  test('writes a file that the daemon accepts as it stands, and a key of mode 0600', async () => {
    const { exitCode, stdout, stderr } = await init(...ADDRESS)
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: [] })
    expect(stdout).toContain(`${config} written`)
    expect(stdout).toContain('placeholder')
    const loaded = loadConfig({ file: config, env: {}, flags: {} })
    expect(loaded).toMatchObject({ nodeAddress: '10.1.0.1', clusterKeyFile: key, published: [] })
    expect(PLACEHOLDER_RANGES).toContain(loaded.publishedRanges[0])
    expect(readClusterKeyFile(key).secret).toHaveLength(32)
    expect(statSync(key).mode & 0o777).toBe(0o600)
    expect(statSync(config).mode & 0o777).toBe(0o644)
  })

  test('writes what the flags say', async () => {
    const flags = ['--name', 'web-1', '--published', '10.1.0.101,10.1.0.102', '--services', 'tcp/80,tcp/443']
    const more = ['--seeds', '10.1.0.2:7600', '--gossip-port', '7700', '--published-ranges', '10.1.0.96/28']
    expect(await init(...ADDRESS, ...flags, ...more)).toMatchObject({ exitCode: 0, stderr: [] })
    expect(loadConfig({ file: config, env: {}, flags: {} })).toMatchObject({
      name: 'web-1',
      gossip: { port: 7700, seeds: ['10.1.0.2:7600'] },
      published: ['10.1.0.101', '10.1.0.102'],
      publishedRanges: ['10.1.0.96/28'],
      services: [
        { protocol: 'tcp', port: 80 },
        { protocol: 'tcp', port: 443 },
      ],
    })
  })

  test('without ranges takes the smallest block that holds the published addresses', async () => {
    expect(await init(...ADDRESS, '--published', '10.1.0.101,10.1.0.103')).toMatchObject({ exitCode: 0 })
    expect(loadConfig({ file: config, env: {}, flags: {} }).publishedRanges).toEqual(['10.1.0.100/30'])
  })

  test('a node address within one placeholder gets another', async () => {
    expect(await init('--node-address', '192.0.2.2')).toMatchObject({ exitCode: 0, stderr: [] })
    expect(loadConfig({ file: config, env: {}, flags: {} }).publishedRanges).toEqual(['198.51.100.0/24'])
  })

  test('a wrong flag is named, and nothing is written', async () => {
    const { exitCode, stderr } = await init('--node-address', '10.1.0.300', '--services', 'tcp/http')
    expect(exitCode).toBe(4)
    expect(stderr).toEqual([
      'dpr: E_CONFIG_INVALID: from --node-address: nodeAddress is "10.1.0.300"; use a unicast IPv4 address such as 10.1.0.1',
      'dpr: E_CONFIG_INVALID: from --services: services[0].port is "http"; use a whole number from 1 to 65535',
    ])
    expect(existsSync(dir)).toBe(false)
  })

  test('replaces nothing without --force, and both files with it', async () => {
    await init(...ADDRESS)
    const before = [readFileSync(config, 'utf8'), readFileSync(key, 'utf8')]
    const refused = await init(...ADDRESS, '--name', 'other')
    expect(refused).toMatchObject({
      exitCode: 23,
      stderr: [
        `dpr: E_FILE_EXISTS: ${config} is there already; nothing was written; move it away, or replace it with --force`,
      ],
    })
    expect([readFileSync(config, 'utf8'), readFileSync(key, 'utf8')]).toEqual(before)
    expect(await init(...ADDRESS, '--name', 'other', '--force')).toMatchObject({ exitCode: 0 })
    expect(readFileSync(config, 'utf8')).toContain('name: "other"')
    expect(readFileSync(key, 'utf8')).not.toBe(before[1])
  })

  test('keeps a key that was copied here, if it is one', async () => {
    await init(...ADDRESS)
    rmSync(config)
    const copied = generateClusterKey()
    writeFileSync(key, copied, { mode: 0o600 })
    expect((await init(...ADDRESS)).stdout).toContain(`${key} kept`)
    expect(readFileSync(key, 'utf8')).toBe(copied)
    rmSync(config)
    writeFileSync(key, 'nonsense')
    expect(await init(...ADDRESS)).toMatchObject({
      exitCode: 14,
      stderr: [expect.stringContaining('E_CLUSTER_KEY_INVALID')],
    })
    expect(existsSync(config)).toBe(false)
  })

  test('a directory that cannot be made is named', async () => {
    const { exitCode, stderr } = await runDpr(['init', '--dir', '/proc/nowhere', ...ADDRESS])
    expect(exitCode).toBe(24)
    expect(stderr[0]).toContain('cannot create /proc/nowhere')
  })
})

test('what is rendered is read back as the same configuration', () => {
  const text = `name: "h\\u0031"
nodeAddress: 10.1.0.1
publishedRanges: [10.1.0.96/28, 10.2.0.96/28]
published: [10.2.0.97]
services: [{ protocol: tcp, port: 53 }]
clusterKeyFile: "/etc/with space/#key: x"
gossip: { seeds: ["10.1.0.9:1"] }
capacity: 0.5
load: { fullAt: 12 }
stateDirectory: '/srv/"quoted": x'
log: { format: pretty }
`
  const original = parseConfig(text, 'original')
  expect(parseConfig(renderConfig(original), 'rendered')).toEqual(original)
})

test.each([
  ['web-1.example.org', 'web-1'],
  ['Straße 5', 'Strae5'],
  ['-x-', 'x'],
  ['', 'node'],
  ['a'.repeat(80), 'a'.repeat(63)],
])('a host named "%s" becomes the node %s', (host, name) => {
  expect(guessName(host)).toBe(name)
})

test.each([
  ['a default route', 'eth1\t00000000\t0101000A\t0003\t0\t0\t0\t00000000\t0\t0\t0', 'eth1'],
  ['a route to half of the world', 'tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0', undefined],
  ['no routes', '', undefined],
])('the interface of the default route: %s', (_name, line, expected) => {
  const head = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT'
  expect(defaultRouteInterface([head, line].join('\n'))).toBe(expected)
})
