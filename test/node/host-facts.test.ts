import { describe, expect, test } from 'vitest'
import { readBootId, readInterfaces, resolveAttachments } from '../../node/host-facts.ts'
import type { HostInterface } from '../../node/host-facts.ts'

function host(name: string, ifindex: number, ...addresses: string[]): HostInterface {
  return {
    name,
    ifindex,
    mac: `02:00:00:00:00:0${ifindex}`,
    mtu: 1500,
    addresses: addresses.map((text) => {
      const [address, length] = text.split('/')
      return { address: address!, prefixLength: Number(length) }
    }),
  }
}

const LO = host('lo', 1, '127.0.0.1/8', '10.1.0.101/32')
const ETH0 = host('eth0', 2, '10.1.0.7/24', '10.1.0.1/24')
const ETH1 = host('eth1', 3, '10.2.0.101/24', '10.2.0.1/24')
const HOST = [LO, ETH0, ETH1, host('eth2', 4)]

const config = { nodeAddress: '10.1.0.1', published: ['10.1.0.101', '10.2.0.101'], attachments: [] }

describe('attachments', () => {
  test('without any in the configuration: the interface of the node address, named by its block', () => {
    expect(resolveAttachments(config, HOST)).toEqual([
      {
        interface: 'eth0',
        ifindex: 2,
        segment: '10.1.0.0/24',
        address: '10.1.0.1',
        prefixLength: 24,
        mac: '02:00:00:00:00:02',
        mtu: 1500,
      },
    ])
  })

  test('as listed: with the segment’s name or the block, and never a published address as their own', () => {
    const attachments = [{ interface: 'eth1' }, { interface: 'eth0', segment: 'lan-a' }]
    expect(resolveAttachments({ ...config, attachments }, HOST)).toMatchObject([
      // That of the node address first: tunnels start there.
      { interface: 'eth0', segment: 'lan-a', address: '10.1.0.1' },
      { interface: 'eth1', segment: '10.2.0.0/24', address: '10.2.0.1' },
    ])
  })

  const refusals: [name: string, changed: object, interfaces: HostInterface[], code: string, message: string][] = [
    [
      'a node address that the host lacks',
      { nodeAddress: '10.1.0.9' },
      [LO, ETH0],
      'E_ADDRESS_NOT_LOCAL',
      'nodeAddress 10.1.0.9 is on no interface of this host; it has: lo 127.0.0.1/8, lo 10.1.0.101/32, eth0 10.1.0.7/24, eth0 10.1.0.1/24',
    ],
    [
      'a node address on lo, though interfaces are listed',
      { nodeAddress: '10.9.0.1', attachments: [{ interface: 'eth0' }] },
      [host('lo', 1, '10.9.0.1/32'), ETH0],
      'E_INTERFACE_UNKNOWN',
      'nodeAddress 10.9.0.1 is on lo, which is not under attachments',
    ],
    [
      'a node address on an interface that is not listed',
      { attachments: [{ interface: 'eth1' }] },
      HOST,
      'E_INTERFACE_UNKNOWN',
      'nodeAddress 10.1.0.1 is on eth0, which is not under attachments',
    ],
    [
      'a host without addresses',
      {},
      [],
      'E_ADDRESS_NOT_LOCAL',
      'nodeAddress 10.1.0.1 is on no interface of this host; it has: no IPv4 address at all',
    ],
    [
      'a node address on lo without attachments',
      { nodeAddress: '127.0.0.1' },
      [LO],
      'E_INTERFACE_UNKNOWN',
      'nodeAddress 127.0.0.1 is on lo, which is no segment',
    ],
    [
      'an interface that is not there',
      { attachments: [{ interface: 'eth0' }, { interface: 'eth9' }] },
      [ETH0],
      'E_INTERFACE_UNKNOWN',
      'attachments[1].interface eth9 is an interface that this host does not have; it has: eth0 10.1.0.7/24, eth0 10.1.0.1/24',
    ],
    [
      'an interface without address',
      { attachments: [{ interface: 'eth2' }] },
      [ETH0, host('eth2', 4)],
      'E_INTERFACE_UNKNOWN',
      'attachments[0].interface eth2 is without an IPv4 address; it has: eth0 10.1.0.7/24, eth0 10.1.0.1/24',
    ],
    [
      'an interface with published addresses only',
      { attachments: [{ interface: 'eth1' }] },
      [ETH0, host('eth1', 3, '10.2.0.101/24')],
      'E_INTERFACE_UNKNOWN',
      'eth1 has no address but published ones',
    ],
  ]
  test.each(refusals)('refused: %s', (_name, changed, interfaces, code, message) => {
    expect(() => resolveAttachments({ ...config, ...changed }, interfaces)).toThrow(
      expect.objectContaining({ code, message }),
    )
  })
})

describe('this host', () => {
  test('has its loopback, with index, MTU and no MAC', () => {
    const lo = readInterfaces().find(({ name }) => name === 'lo')
    expect(lo).toMatchObject({ mac: '00:00:00:00:00:00' })
    expect(lo?.addresses).toContainEqual({ address: '127.0.0.1', prefixLength: 8 })
    expect(lo?.ifindex).toBeGreaterThan(0)
    expect(lo?.mtu).toBeGreaterThan(0)
  })

  test('has a boot id', () => {
    expect(readBootId()).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/u)
  })
})
