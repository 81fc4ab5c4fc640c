/** On-link routers of an interface, from the kernel's main routing table. */
import { readFileSync } from 'node:fs'

const RTF_GATEWAY = 0x2

/** The text of /proc/net/route → gateway addresses by interface name. Addresses there are little-endian hex. */
export function parseGateways(text: string): Map<string, number[]> {
  const found = new Map<string, number[]>()
  for (const line of text.split('\n').slice(1)) {
    const [name, , gateway, flags] = line.split('\t')
    if (name === undefined || gateway === undefined || flags === undefined) continue
    if ((parseInt(flags, 16) & RTF_GATEWAY) === 0) continue
    const bytes = gateway.match(/../g)?.toReversed().join('') ?? '0'
    const known = found.get(name) ?? []
    const address = parseInt(bytes, 16)
    found.set(name, known.includes(address) ? known : [...known, address])
  }
  return found
}

/** Gateways behind an interface now; empty when there is none or the table cannot be read. */
export function gatewaysOf(interfaceName: string): number[] {
  try {
    return parseGateways(readFileSync('/proc/net/route', 'utf8')).get(interfaceName) ?? []
  } catch {
    return []
  }
}
