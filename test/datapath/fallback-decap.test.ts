/** What the fallback decapsulator refuses before it asks the kernel anything. */
import { describe, expect, test } from 'vitest'
import { ADDRESS_MAP_ENTRIES_MAX, AddressMap, addressBytes } from '../../datapath/bpf-loader/address-map.ts'
import { createFallbackDecap } from '../../datapath/host/fallback-decap.ts'

const many = (count: number) => Array.from({ length: count }, (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`)
const refusal = expect.objectContaining({ code: 'E_HOST_PLAN' }) as unknown

describe('addresses', () => {
  test('are four bytes in network order', () => {
    expect([...addressBytes('10.1.0.254')]).toEqual([10, 1, 0, 254])
  })
  test.each(['', '10.1.0', '10.1.0.256', '010.1.0.1', '::1', '10.1.0.1/32'])('%j is none', (address) => {
    expect(() => addressBytes(address)).toThrow(refusal)
    expect(() => createFallbackDecap().setMembers(['10.1.0.1', address])).toThrow(refusal)
    expect(() => createFallbackDecap().attach([{ name: 'eth0', ifindex: 2, address }])).toThrow(refusal)
  })
})

describe('the bound on addresses', () => {
  test('is reached without an error, and duplicates do not count', () => {
    const map = new AddressMap('bounded')
    map.replace([...many(ADDRESS_MAP_ENTRIES_MAX), '10.0.0.0'])
  })
  test('is not passed, and the message names both numbers', () => {
    const map = new AddressMap('bounded')
    expect(() => map.replace(many(ADDRESS_MAP_ENTRIES_MAX + 1))).toThrow(/4097 addresses for bounded.*4096/)
  })
})

test('detaching what was never attached does nothing', () => {
  const decap = createFallbackDecap()
  decap.detach()
  decap.attach([])
  decap.detach()
})
