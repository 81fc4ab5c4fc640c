import { describe, expect, it } from 'vitest'
import {
  addLine,
  isOurs,
  mentionsFallback,
  mentionsPreference,
  parseFilters,
  sameSteered,
  wantedFilters,
} from '../../../datapath/host/tc.ts'

/** As listed by iproute2 6.1: two of ours (one whose device is gone), a tunnel filter, and filters of others. */
const LISTING = `filter protocol ip pref 10 u32 chain 0 
filter protocol ip pref 10 u32 chain 0 fh 800: ht divisor 1 
filter protocol ip pref 10 u32 chain 0 fh 800::800 order 2048 key ht 800 bkt 0 *flowid 1:1 not_in_hw 
  match 0a010065/ffffffff at 16
filter protocol ip pref 48101 u32 chain 0 
filter protocol ip pref 48101 u32 chain 0 fh 801: ht divisor 1 
filter protocol ip pref 48101 u32 chain 0 fh 801::5 order 5 key ht 801 bkt 0 terminal flowid not_in_hw 
  match 0000425a/0000ffff at -16
  match f9974b24/ffffffff at -12
  match 0a010065/ffffffff at 16
	action order 1: mirred (Egress Redirect to device dpr0) stolen
	index 2 ref 1 bind 1

filter protocol ip pref 48101 u32 chain 0 fh 801::800 order 2048 key ht 801 bkt 0 terminal flowid not_in_hw 
  match 0000425a/0000ffff at -16
  match f9974b24/ffffffff at -12
  match 0a010066/ffffffff at 16
	action order 1: mirred (Egress Redirect to device *) stolen
	index 1 ref 1 bind 1

filter protocol ip pref 48102 u32 chain 0 fh 802::800 order 2048 key ht 802 bkt 0 terminal flowid not_in_hw 
  match 0000425a/0000ffff at -16
  match f9974b24/ffffffff at -12
  match 0a010001/ffffffff at 16
  match 00040000/00ff0000 at 8
	action order 1: mirred (Egress Redirect to device dpr0) stolen
	index 3 ref 1 bind 1

filter protocol ip pref 48120 bpf chain 0 
filter protocol ip pref 48120 bpf chain 0 handle 0x1 dpr-decap direct-action not_in_hw id 7 
`

const MAC = '42:5a:f9:97:4b:24'

describe('reading tc filter show', () => {
  const filters = parseFilters(LISTING)

  it('finds the filters, not the hash tables', () => {
    expect(filters.map(({ preference, kind, handle, device }) => [preference, kind, handle, device])).toEqual([
      [10, 'u32', '800::800', undefined],
      [48101, 'u32', '801::5', 'dpr0'],
      [48101, 'u32', '801::800', '*'],
      [48102, 'u32', '802::800', 'dpr0'],
      [48120, 'bpf', '0x1', undefined],
    ])
  })

  it('reads what each of ours steers', () => {
    expect(filters.map(({ steered }) => steered)).toEqual([
      undefined,
      { preference: 48101, mac: MAC, address: '10.1.0.101' },
      { preference: 48101, mac: MAC, address: '10.1.0.102' },
      { preference: 48102, mac: MAC, address: '10.1.0.1' },
      undefined,
    ])
  })

  it.each([
    ['a filter without action', 0, false],
    ['a redirect to our device', 1, true],
    ['a redirect to a device that is gone', 2, true],
    ['a program', 4, false],
  ])('%s: ours is %3$s', (_name, index, ours) => {
    expect(isOurs(filters[index]!, ['dpr0'])).toBe(ours)
  })

  it('a redirect to another device is not ours', () => {
    expect(isOurs(filters[1]!, ['dpr7'])).toBe(false)
  })

  it.each([
    ['a tunnel match at the preference of addresses', LISTING.replaceAll('pref 48102', 'pref 48101')],
    [
      'one match more than ours have',
      LISTING.replace('  match 0a010001', '  match 00500000/ffff0000 at 20\n  match 0a010001'),
    ],
    ['a shorter prefix', LISTING.replace('0a010001/ffffffff', '0a010001/ffffff00')],
  ])('%s is not taken for one of ours in place', (_name, listing) => {
    expect(parseFilters(listing)[3]!.steered).toBeUndefined()
  })

  it('an emptied hash table still occupies its preference', () => {
    const listing =
      'filter protocol ip pref 48101 u32 chain 0 \nfilter protocol ip pref 48101 u32 chain 0 fh 801: ht divisor 1 \n'
    expect(parseFilters(listing)).toEqual([])
    expect(mentionsPreference(listing, 48_101)).toBe(true)
    expect(mentionsPreference(listing, 4_810)).toBe(false)
  })

  it('knows the fallback decapsulator by preference, kind and name', () => {
    expect(mentionsFallback(LISTING)).toBe(true)
    expect(mentionsFallback(LISTING.replace('dpr-decap', 'other'))).toBe(false)
    expect(mentionsFallback(LISTING.replaceAll('pref 48120', 'pref 48121'))).toBe(false)
  })
})

describe('the filters of an interface', () => {
  it('each matches the own MAC; addresses named twice count once', () => {
    const wanted = wantedFilters({ mac: MAC.toUpperCase() }, ['10.1.0.1'], ['10.1.0.101', '10.1.0.101'])
    expect(wanted.map((steered) => addLine('eth0', steered, 'dpr0'))).toEqual([
      `filter add dev eth0 ingress protocol ip pref 48101 u32 match ether dst ${MAC} match ip dst 10.1.0.101/32 ` +
        'action mirred egress redirect dev dpr0',
      `filter add dev eth0 ingress protocol ip pref 48102 u32 match ether dst ${MAC} match ip dst 10.1.0.1/32 ` +
        'match ip protocol 4 0xff action mirred egress redirect dev dpr0',
    ])
    expect(sameSteered(wanted[0]!, parseFilters(LISTING)[1]!.steered!)).toBe(true)
    expect(sameSteered(wanted[1]!, parseFilters(LISTING)[3]!.steered!)).toBe(true)
    expect(sameSteered(wanted[0]!, parseFilters(LISTING)[2]!.steered!)).toBe(false)
  })
})
