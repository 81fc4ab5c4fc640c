import { describe, expect, it } from 'vitest'
import { isAddress, isInterfaceName, isMac } from '../../../datapath/host/addresses.ts'
import { clampTable } from '../../../datapath/host/nft.ts'
import { checkPlan } from '../../../datapath/host/plan.ts'
import type { HostPlan } from '../../../datapath/host/plan.ts'
import { missingCapabilities } from '../../../datapath/host/preflight.ts'
import { isSysctlKey } from '../../../datapath/host/sysctl.ts'

const PLAN: HostPlan = {
  device: 'dpr0',
  interfaces: [{ name: 'eth0', ifindex: 2, mac: '02:00:00:00:77:01', address: '10.1.0.1' }],
  publishedAddresses: ['10.1.0.101'],
  clamps: [{ address: '10.1.0.101', mss: 1_440 }],
}
const own = PLAN.interfaces[0]!

describe('a plan is refused if', () => {
  it.each<[string, Partial<HostPlan>, RegExp]>([
    ['its device is another one', { device: 'dpr1' }, /dpr1 is not dpr0/],
    ['an interface name holds a command', { interfaces: [{ ...own, name: 'a;reboot' }] }, /a;reboot/],
    ['an interface name is a path', { interfaces: [{ ...own, name: '../all' }] }, /\.\.\/all/],
    ['a MAC is short', { interfaces: [{ ...own, mac: '02:00:00:00:77' }] }, /no MAC/],
    ['a node address is none', { interfaces: [{ ...own, address: '10.1.0' }] }, /10\.1\.0 of eth0/],
    ['a published address has a prefix length', { publishedAddresses: ['10.1.0.101/24'] }, /10\.1\.0\.101\/24/],
    ['a published address is IPv6', { publishedAddresses: ['fd00::1'] }, /fd00::1/],
    ['a node address is published', { publishedAddresses: ['10.1.0.1'] }, /published and a node address/],
    ['an MSS is absurdly small', { clamps: [{ address: '10.1.0.101', mss: 40 }] }, /MSS of 40/],
    ['an MSS is no integer', { clamps: [{ address: '10.1.0.101', mss: 1_440.5 }] }, /1440\.5/],
    [
      'there are too many addresses',
      { publishedAddresses: Array.from({ length: 1_025 }, (_, i) => `10.2.${i >> 8}.${i & 255}`) },
      /1025/,
    ],
  ])('%s', (_name, change, message) => {
    expect(() => checkPlan(PLAN, 'dpr0')).not.toThrow()
    expect(() => checkPlan({ ...PLAN, ...change }, 'dpr0')).toThrow(
      expect.objectContaining({ code: 'E_HOST_PLAN', message: expect.stringMatching(message) as string }),
    )
  })
})

it.each([
  ['eth0', true],
  ['enp0s31f6', true],
  ['eth0.100', true],
  ['br-1a2b3c', true],
  ['', false],
  ['.', false],
  ['-eth0', false],
  ['sixteencharacter', false],
  ['eth 0', false],
  ["e'th", false],
  ['a\nb', false],
])('interface name %j: %s', (name, valid) => {
  expect(isInterfaceName(name)).toBe(valid)
})

it('MACs and addresses are whole', () => {
  expect([isMac('02:AA:00:00:77:01'), isMac('02:aa:00:00:77:01 '), isMac('02-aa-00-00-77-01')]).toEqual([
    true,
    false,
    false,
  ])
  expect([isAddress('10.1.0.1'), isAddress('10.1.0.01'), isAddress('10.1.0.1\n')]).toEqual([true, false, false])
})

it('a journal can name only the sysctls that are ours', () => {
  expect(isSysctlKey('net/ipv4/conf/eth0.100/arp_ignore')).toBe(true)
  expect(isSysctlKey('net/ipv4/conf/../../core/arp_ignore')).toBe(false)
  expect(isSysctlKey('net/ipv4/conf/all/forwarding')).toBe(false)
  expect(isSysctlKey('kernel/core_pattern')).toBe(false)
})

it('of two clamps of an address the smaller counts, and equal ones share a rule', () => {
  const rules = clampTable([
    { address: '10.1.0.101', mss: 1_440 },
    { address: '10.1.0.102', mss: 1_400 },
    { address: '10.1.0.101', mss: 1_400 },
  ]).match(/ip saddr .*/g)
  expect(rules).toEqual([
    'ip saddr { 10.1.0.101, 10.1.0.102 } tcp flags & syn == syn tcp option maxseg size > 1400 tcp option maxseg size set 1400',
  ])
})

describe('capabilities', () => {
  const status = (effective: string, ambient: string) => `Uid:\t0\nCapEff:\t${effective}\nCapAmb:\t${ambient}\n`
  it.each<[string, string, string, boolean, string[]]>([
    ['root', '000001ffffffffff', '0000000000000000', true, []],
    ['root without NET_ADMIN', '000001ffffffefff', '0000000000000000', true, ['CAP_NET_ADMIN']],
    ['a user', '0000000000000000', '0000000000000000', false, ['CAP_NET_ADMIN', 'CAP_NET_RAW']],
    [
      'a user whose children would not inherit',
      '0000000000003000',
      '0000000000000000',
      false,
      ['CAP_NET_ADMIN', 'CAP_NET_RAW'],
    ],
    ['a systemd unit with ambient capabilities', '0000000000003000', '0000000000003000', false, []],
    ['no NET_RAW', '0000000000001000', '0000000000001000', false, ['CAP_NET_RAW']],
  ])('%s', (_name, effective, ambient, isRoot, missing) => {
    expect(missingCapabilities(status(effective, ambient), isRoot)).toEqual(missing)
  })
})
