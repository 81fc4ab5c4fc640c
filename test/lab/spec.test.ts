/** A lab's description: who gets which address, and what is refused. */
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { hostConfig, newClusterKey } from '../../lab/host-config.ts'
import { LabError } from '../../lab/errors.ts'
import { HOSTS_PER_SEGMENT_MAX, SEGMENTS_MAX, labHosts, labSpec, publishedRanges, seedsOf } from '../../lab/spec.ts'
import type { LabSpecOptions } from '../../lab/spec.ts'

describe('addresses', () => {
  test('hosts are numbered through, addresses start anew in each segment', () => {
    const hosts = labHosts(labSpec({ name: 'x' }))
    expect(
      hosts.map(({ name, namespace, segment, address, published, gateway }) =>
        [name, namespace, segment, address, ...published, gateway].join(' '),
      ),
    ).toEqual([
      'h1 dpr-x-h1 lan-a 10.1.0.1 10.1.0.101 10.1.0.254',
      'h2 dpr-x-h2 lan-a 10.1.0.2 10.1.0.102 10.1.0.254',
      'h3 dpr-x-h3 lan-b 10.2.0.1 10.2.0.101 10.2.0.254',
      'h4 dpr-x-h4 lan-b 10.2.0.2 10.2.0.102 10.2.0.254',
    ])
  })

  test('the largest lab has no address twice, and every published address lies in its range', () => {
    const spec = labSpec({ segments: SEGMENTS_MAX, hostsPerSegment: HOSTS_PER_SEGMENT_MAX })
    const hosts = labHosts(spec)
    const addresses = hosts.flatMap((host) => [host.address, host.gateway, ...host.published])
    const gateways = SEGMENTS_MAX - hosts.length
    expect(new Set(addresses).size).toBe(addresses.length + gateways)
    expect(new Set(hosts.map((host) => host.mac)).size).toBe(hosts.length)
    for (const host of hosts) {
      const [a, b, c, last] = host.published[0]!.split('.')
      expect(publishedRanges(spec)).toContain(`${a}.${b}.${c}.96/27`)
      expect(Number(last)).toBeGreaterThanOrEqual(96)
      expect(Number(last)).toBeLessThan(128)
    }
  })

  test('a host asks others first, never itself', () => {
    const spec = labSpec({ segments: 1, hostsPerSegment: 8 })
    for (const host of labHosts(spec)) {
      expect(seedsOf(spec, host)).toHaveLength(5)
      expect(seedsOf(spec, host)).not.toContain(`${host.address}:7600`)
    }
    expect(seedsOf(labSpec({ segments: 1, hostsPerSegment: 1 }), labHosts(spec)[0]!)).toEqual([])
  })
})

describe('refused', () => {
  const rows: [string, LabSpecOptions, string][] = [
    ['a name that is no part of a file name', { name: '../x' }, 'name'],
    ['a name too long for a socket path', { name: 'x'.repeat(25) }, 'name'],
    ['no segment', { segments: 0 }, 'segments'],
    ['half a host', { hostsPerSegment: 1.5 }, 'hosts-per-segment'],
    ['published addresses beyond their range', { hostsPerSegment: 27 }, 'hosts-per-segment'],
    ['a policy nobody wrote', { policy: 'least-loaded' as 'ring' }, 'policy'],
    ['an MTU below what IPv4 asks for', { mtu: 500 }, 'mtu'],
    ['not a number', { fullAt: Number.NaN }, 'full-at'],
    ['a host that is not there', { overrides: { h9: {} } }, 'h9'],
  ]
  test.each(rows)('%s', (_, options, word) => {
    const error = catchError(() => labSpec(options))
    expect(error.code).toBe('E_LAB_SPEC')
    expect(error.message).toContain(word)
    expect(error.remedy).not.toBe('')
  })
})

describe('config files', () => {
  test('say what the description says', () => {
    const spec = labSpec({ name: 'x', fullAt: 50, policy: 'ring', addressing: 'ipip' })
    expect(parse(hostConfig(spec, labHosts(spec)[2]!))).toMatchObject({
      name: 'h3',
      nodeAddress: '10.2.0.1',
      gossip: { port: 7600, seeds: ['10.2.0.2:7600', '10.1.0.1:7600', '10.1.0.2:7600'] },
      publishedRanges: ['10.1.0.96/27', '10.2.0.96/27'],
      published: ['10.2.0.101'],
      attachments: [{ interface: 'eth0', segment: 'lan-b' }],
      policy: { name: 'ring' },
      load: { source: 'flows', fullAt: 50 },
      addressing: 'ipip',
      runtimeDirectory: '/run/dpr-lab/x/h3/run',
    })
  })

  test('take overrides for one host only', () => {
    const spec = labSpec({ overrides: { h2: { capacity: 3 } } })
    const configs = labHosts(spec).map((host) => parse(hostConfig(spec, host)) as { capacity?: number })
    expect(configs.map((config) => config.capacity)).toEqual([undefined, 3, undefined, undefined])
  })

  test('the cluster key has the form of a libp2p swarm key, and is new each time', () => {
    expect(newClusterKey()).toMatch(/^\/key\/swarm\/psk\/1\.0\.0\/\n\/base16\/\n[0-9a-f]{64}\n$/)
    expect(newClusterKey()).not.toBe(newClusterKey())
  })
})

function catchError(action: () => unknown): LabError {
  try {
    action()
  } catch (error) {
    if (error instanceof LabError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}
