/**
 * The steering filters: which frames leave the kernel's path at ingress and go to the engine's device, as lines for
 * `tc -batch -`, and the way back from tc's listing.
 *
 *     preference 48101   own destination MAC, destination P (every published address)   → device
 *     preference 48102   own destination MAC, destination own address, protocol 4       → device
 *
 * Ports do not matter (later fragments and ICMP errors carry none). The MAC does: tc sees flooded and promiscuous frames
 * for other hosts as well, and taking one of those would answer it twice. u32 compares one filter after the other with
 * every IPv4 frame of the interface, some 10 ns each: 300 published addresses cost 3 µs a frame. More would want a u32
 * hash table over the last octet.
 *
 * Preferences are ours by convention; a filter counts as ours only if it also redirects to our device, or to `*`, which
 * is how tc shows a device that is gone. clsact itself is shared with others and never removed with a filter inside.
 */

const ADDRESS_PREFERENCE = 48_101
const TUNNEL_PREFERENCE = 48_102
export const PREFERENCES: readonly number[] = [ADDRESS_PREFERENCE, TUNNEL_PREFERENCE]

const IPIP_PROTOCOL = 4

/** What one filter takes. */
export interface Steered {
  preference: number
  /** Lower case. */
  mac: string
  address: string
}

/** A u32 filter, or another classifier's entry, as listed. */
export interface ListedFilter {
  preference: number
  protocol: string
  kind: string
  /** tc's handle, by which a single u32 filter is deleted. */
  handle: string
  /** Where it redirects to; undefined if it does not. */
  device: string | undefined
  /** What it takes, if it has the shape of ours. */
  steered: Steered | undefined
}

export function wantedFilters(
  own: { mac: string },
  tunnelAddresses: readonly string[],
  publishedAddresses: readonly string[],
): Steered[] {
  const mac = own.mac.toLowerCase()
  return [
    ...[...new Set(publishedAddresses)].map((address) => ({ preference: ADDRESS_PREFERENCE, mac, address })),
    ...[...new Set(tunnelAddresses)].map((address) => ({ preference: TUNNEL_PREFERENCE, mac, address })),
  ]
}

export function sameSteered(a: Steered, b: Steered): boolean {
  return a.preference === b.preference && a.mac === b.mac && a.address === b.address
}

export function addLine(interfaceName: string, { preference, mac, address }: Steered, device: string): string {
  const tunnel = preference === TUNNEL_PREFERENCE ? ` match ip protocol ${IPIP_PROTOCOL} 0xff` : ''
  return (
    `filter add dev ${interfaceName} ingress protocol ip pref ${preference} u32 match ether dst ${mac} ` +
    `match ip dst ${address}/32${tunnel} action mirred egress redirect dev ${device}`
  )
}

/** One filter of a preference. */
export function deleteLine(interfaceName: string, { preference, handle }: ListedFilter): string {
  return `filter del dev ${interfaceName} ingress protocol ip pref ${preference} handle ${handle} u32`
}

/** Everything at a preference; refused by the kernel if it is no u32 classifier. */
export function deletePreferenceLine(interfaceName: string, preference: number): string {
  return `filter del dev ${interfaceName} ingress protocol ip pref ${preference} u32`
}

/** The fallback decapsulator (fallback-decap.ts), which a dead daemon leaves behind on purpose. */
const FALLBACK_PREFERENCE = 48_120

export function mentionsFallback(listing: string): boolean {
  return new RegExp(`^filter .*pref ${FALLBACK_PREFERENCE} bpf .*\\bdpr-decap\\b`, 'm').test(listing)
}

export function deleteFallbackLine(interfaceName: string): string {
  return `filter del dev ${interfaceName} ingress protocol ip pref ${FALLBACK_PREFERENCE} bpf`
}

export function isOurs(filter: ListedFilter, devices: readonly string[]): boolean {
  return filter.kind === 'u32' && filter.device !== undefined && ['*', ...devices].includes(filter.device)
}

/** Whether anything is left at a preference, be it an emptied hash table. */
export function mentionsPreference(listing: string, preference: number): boolean {
  return listing.includes(` pref ${preference} `)
}

/** Reads `tc filter show dev IF ingress`. Its JSON form repeats the key "match" and so loses all matches but one. */
export function parseFilters(listing: string): ListedFilter[] {
  const filters: ListedFilter[] = []
  let matches = new Map<string, string>()
  for (const line of listing.split('\n')) {
    const header = /^filter (?:.+ )?protocol (\S+) pref (\d+) (\S+) chain \d+(?: (?:fh|handle) (\S+))?/.exec(line)
    if (header !== null) {
      const [, protocol = '', preference = '', kind = '', handle = ''] = header
      // u32 lists its hash tables ("800:") and a line without any handle before its filters ("800::801").
      if (kind === 'u32' ? !/^[0-9a-f]+:[0-9a-f]*:[0-9a-f]+$/.test(handle) : handle === '') continue
      matches = new Map()
      filters.push({ preference: Number(preference), protocol, kind, handle, device: undefined, steered: undefined })
      continue
    }
    const filter = filters.at(-1)
    if (filter === undefined) continue
    const match = /^ {2}match ([0-9a-f]{8}\/[0-9a-f]{8}) at (-?\d+)$/.exec(line)
    if (match !== null) matches.set(match[2]!, match[1]!)
    const device = /mirred \(Egress Redirect to device (\S+)\)/.exec(line)?.[1]
    if (device === undefined) continue
    filter.device = device
    filter.steered = steeredBy(filter.preference, matches)
  }
  return filters
}

/** Ethernet destination at -16 (two bytes) and -12, IP protocol in the word at 8, IP destination at 16. */
function steeredBy(preference: number, matches: ReadonlyMap<string, string>): Steered | undefined {
  const macHigh = /^0000([0-9a-f]{4})\/0000ffff$/.exec(matches.get('-16') ?? '')?.[1]
  const macLow = /^([0-9a-f]{8})\/ffffffff$/.exec(matches.get('-12') ?? '')?.[1]
  const destination = /^([0-9a-f]{8})\/ffffffff$/.exec(matches.get('16') ?? '')?.[1]
  if (macHigh === undefined || macLow === undefined || destination === undefined) return undefined
  const tunnel = matches.get('8') === '00040000/00ff0000'
  if (tunnel !== (preference === TUNNEL_PREFERENCE) || matches.size !== (tunnel ? 4 : 3)) return undefined
  return {
    preference,
    mac: pairs(macHigh + macLow).join(':'),
    address: pairs(destination)
      .map((pair) => Number.parseInt(pair, 16))
      .join('.'),
  }
}

function pairs(hex: string): string[] {
  return hex.match(/../g) ?? []
}
