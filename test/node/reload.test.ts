import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { generateClusterKey } from '../../node/cluster-key-file.ts'
import { readClusterKeys } from '../../node/cluster-keys.ts'
import { parseConfig } from '../../node/config.ts'
import { NodeError } from '../../node/errors.ts'
import { reread } from '../../node/reload.ts'

const ID = '12D3KooWLqLxEfJ9nDdEe8Kh8PFvNPQRYDQBwyL7CMM7HhVd5LsX'
let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'dpr-reload-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

function key(name: string, text = generateClusterKey()): string {
  const path = join(dir, name)
  writeFileSync(path, text, { mode: 0o600 })
  chmodSync(path, 0o600)
  return path
}

function config(gossip: object, rest: object = {}) {
  const tree = {
    name: 'h1',
    nodeAddress: '10.1.0.1',
    clusterKeyFile: join(dir, 'one'),
    publishedRanges: ['10.1.0.96/28'],
    services: [{ protocol: 'tcp', port: 80 }],
    gossip,
    ...rest,
  }
  return parseConfig(JSON.stringify(tree), 'c.yaml')
}

describe('the keys of a node', () => {
  test('are those of all its files, the one to dial with first', () => {
    key('one')
    const others = [key('two'), key('three')]
    const keys = readClusterKeys(config({ otherClusterKeyFiles: others }))
    expect(keys.contents).toHaveLength(3)
    expect(new Set(keys.fingerprints).size).toBe(3)
    expect(new Set(keys.tags).size).toBe(3)
    const swapped = readClusterKeys({ clusterKeyFile: others[0]!, gossip: config({}).gossip })
    expect(swapped.fingerprints).toEqual([keys.fingerprints[1]])
  })

  test('a key that two files hold counts once', () => {
    const text = generateClusterKey()
    key('one', text)
    expect(readClusterKeys(config({ otherClusterKeyFiles: [key('two', text)] })).contents).toHaveLength(1)
  })

  test('a fingerprint is the beginning of the SHA-256 of the secret, and says no more', () => {
    key('one', `/key/swarm/psk/1.0.0/\n/base16/\n${'00'.repeat(32)}\n`)
    expect(readClusterKeys(config({})).fingerprints).toEqual(['66687aad'])
  })
})

describe('reading again', () => {
  test('takes keys and allowed nodes, and names what else has changed', () => {
    key('one')
    const before = config({})
    const rows: [changed: object, rest: object, needRestart: string[]][] = [
      [{}, {}, []],
      [{ allow: [ID], otherClusterKeyFiles: [key('two')] }, { clusterKeyFile: key('three') }, []],
      [{ seeds: ['10.1.0.2:7600'] }, {}, ['gossip.seeds']],
      [{ mdns: true, port: 7601, allow: [ID] }, {}, ['gossip.port', 'gossip.mdns']],
      [{}, { name: 'h2', policy: { name: 'ring' } }, ['name', 'policy']],
    ]
    for (const [gossip, rest, needRestart] of rows) {
      expect(reread(before, () => config(gossip, rest))).toMatchObject({ needRestart })
    }
  })

  test('names a key that was removed', () => {
    key('one')
    const before = config({ mdns: false }, { attachments: [{ interface: 'eth0' }] })
    expect(reread(before, () => config({})).needRestart.toSorted()).toEqual(['attachments', 'gossip.mdns'])
  })

  test('throws what is wrong', () => {
    key('one')
    const before = config({})
    const broken = () => {
      throw new NodeError('E_CONFIG_INVALID', 'broken')
    }
    expect(() => reread(before, broken)).toThrow('broken')
    expect(() => reread(before, () => config({ otherClusterKeyFiles: [key('two', 'nonsense')] }))).toThrow(
      expect.objectContaining({ code: 'E_CLUSTER_KEY_INVALID' }),
    )
  })
})
