/**
 * Interfaces and addresses as the kernel sees them, and the checks that every name and address passes before it gets
 * into a command, a shell's stdin or a path under /proc/sys.
 *
 * Published addresses live on `lo` of every host (so that each host's stack accepts them) and on no other interface (so
 * that the kernel itself answers ARP for none of them while arp_ignore is 1).
 */
import { isIPv4 } from 'node:net'
import type { Commands } from './command.ts'

/** An interface and its IPv4 addresses, as `ip address show` tells them. */
export interface Link {
  name: string
  ifindex: number
  mtu: number
  /** IPv4 addresses, without prefix length. */
  addresses: string[]
}

interface IpAddressJson {
  ifname?: string
  ifindex?: number
  mtu?: number
  addr_info?: { family?: string; local?: string; prefixlen?: number }[]
}

/** IFNAMSIZ is 16 with the final zero. Stricter than the kernel: what quoting would be needed for is refused. */
export function isInterfaceName(name: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,14}$/.test(name)
}

/** Dotted decimal with four parts and nothing else. */
export function isAddress(text: string): boolean {
  return isIPv4(text)
}

/** Six pairs of hex digits with colons. */
export function isMac(text: string): boolean {
  return /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i.test(text)
}

/** Every interface of this network namespace, by name. One command; /sys may show another namespace's. */
export async function readLinks(commands: Commands): Promise<Map<string, Link>> {
  const listed = JSON.parse(await commands.run('ip', ['-j', 'address', 'show'])) as IpAddressJson[]
  const links = new Map<string, Link>()
  for (const { ifname, ifindex, mtu, addr_info: addresses } of listed) {
    if (ifname === undefined || ifindex === undefined) continue
    links.set(ifname, {
      name: ifname,
      ifindex,
      mtu: mtu ?? 0,
      addresses: (addresses ?? []).flatMap(({ family, local }) =>
        family === 'inet' && local !== undefined ? [local] : [],
      ),
    })
  }
  return links
}

/** Puts addresses on `lo`, as /32; one that is there already stays as it is. */
export async function addLoopbackAddresses(commands: Commands, addresses: readonly string[]): Promise<void> {
  await loopbackBatch(commands, 'replace', addresses)
}

/** Takes addresses off `lo`. They must be there. */
export async function removeLoopbackAddresses(commands: Commands, addresses: readonly string[]): Promise<void> {
  await loopbackBatch(commands, 'delete', addresses)
}

async function loopbackBatch(commands: Commands, verb: 'replace' | 'delete', addresses: readonly string[]) {
  if (addresses.length === 0) return
  const lines = addresses.map((address) => `address ${verb} ${address}/32 dev lo`)
  await commands.run('ip', ['-batch', '-'], `${lines.join('\n')}\n`)
}
