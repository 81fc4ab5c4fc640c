/**
 * What this host is: its interfaces, its boot. Gathered from Node (addresses) and /sys (index, MAC, MTU), then matched
 * with the configuration: which interface carries the node address, and how the host is attached to each segment.
 */
import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import type { Config } from './config-schema.ts'
import { NodeError } from './errors.ts'
import { blockOf, formatBlock, parsePrefix } from './ipv4.ts'

export interface HostAddress {
  /** IPv4, dotted. */
  address: string
  prefixLength: number
}

export interface HostInterface {
  name: string
  ifindex: number
  /** Lower case, colons; all zeros where the link has no Ethernet header. */
  mac: string
  /** Bytes. */
  mtu: number
  addresses: HostAddress[]
}

/** One interface on one segment. `address` is the host's own there: never a published one. */
export interface HostAttachment extends HostAddress {
  interface: string
  ifindex: number
  segment: string
  mac: string
  mtu: number
}

const ETHERNET = /^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/u
const NO_MAC = '00:00:00:00:00:00'

/**
 * The attachments of the configuration, filled in from the host; without any, the interface of the node address.
 * @throws NodeError E_ADDRESS_NOT_LOCAL, E_INTERFACE_UNKNOWN, E_HOST_FACTS
 */
export function resolveAttachments(
  config: Pick<Config, 'nodeAddress' | 'attachments' | 'published'>,
  interfaces: readonly HostInterface[] = readInterfaces(),
): HostAttachment[] {
  const carrier = interfaces.find(({ addresses }) => addresses.some(({ address }) => address === config.nodeAddress))
  if (carrier === undefined) {
    throw new NodeError(
      'E_ADDRESS_NOT_LOCAL',
      `nodeAddress ${config.nodeAddress} is on no interface of this host; it has: ${listed(interfaces)}`,
    )
  }
  if (config.attachments.length === 0) {
    if (carrier.name === 'lo') {
      throw new NodeError('E_INTERFACE_UNKNOWN', `nodeAddress ${config.nodeAddress} is on lo, which is no segment`, {
        remedy: 'list the interfaces towards clients and peers under attachments',
      })
    }
    return [attach(carrier, undefined, config)]
  }
  const attachments = config.attachments.map((wanted, index) => {
    const found = interfaces.find(({ name }) => name === wanted.interface)
    if (found !== undefined && found.addresses.length > 0) return attach(found, wanted.segment, config)
    const what = found === undefined ? 'an interface that this host does not have' : 'without an IPv4 address'
    throw new NodeError(
      'E_INTERFACE_UNKNOWN',
      `attachments[${index}].interface ${wanted.interface} is ${what}; it has: ${listed(interfaces)}`,
    )
  })
  // The first one's address is the source of our tunnels, and peers take tunnels from node addresses only.
  const first = attachments.find(({ address }) => address === config.nodeAddress)
  if (first === undefined) {
    throw new NodeError(
      'E_INTERFACE_UNKNOWN',
      `nodeAddress ${config.nodeAddress} is on ${carrier.name}, which is not under attachments`,
      { remedy: 'let it be an address of an interface under attachments, where tunnels can end' },
    )
  }
  return [first, ...attachments.filter((other) => other !== first)]
}

function attach(
  found: HostInterface,
  segment: string | undefined,
  config: Pick<Config, 'nodeAddress' | 'published'>,
): HostAttachment {
  const own = found.addresses.filter(({ address }) => !config.published.includes(address))
  const chosen = own.find(({ address }) => address === config.nodeAddress) ?? own[0]
  if (chosen === undefined) {
    throw new NodeError('E_INTERFACE_UNKNOWN', `${found.name} has no address but published ones`)
  }
  return {
    interface: found.name,
    ifindex: found.ifindex,
    segment: segment ?? cidrOf(chosen),
    address: chosen.address,
    prefixLength: chosen.prefixLength,
    mac: found.mac,
    mtu: found.mtu,
  }
}

/** Every interface with an IPv4 address. */
export function readInterfaces(): HostInterface[] {
  const found = new Map<string, HostInterface>()
  for (const [label, entries = []] of Object.entries(networkInterfaces())) {
    // An address with a label of old tools (eth0:1) looks like an interface of its own; /sys knows the device only.
    const name = label.split(':', 1)[0]!
    for (const { family, address, cidr, mac } of entries) {
      const prefixLength = parsePrefix(cidr ?? '')?.prefixLength
      if (family !== 'IPv4' || prefixLength === undefined) continue
      const known = found.get(name) ?? describe(name, mac)
      known.addresses.push({ address, prefixLength })
      found.set(name, known)
    }
  }
  return [...found.values()]
}

function describe(name: string, mac: string): HostInterface {
  return {
    name,
    ifindex: Number(readFact(`/sys/class/net/${name}/ifindex`)),
    mac: ownMac(name, mac),
    mtu: Number(readFact(`/sys/class/net/${name}/mtu`)),
    addresses: [],
  }
}

/** Another value than before proves that every socket of the host is gone. */
export function readBootId(): string {
  return readFact('/proc/sys/kernel/random/boot_id')
}

/**
 * /sys shows the network namespace in which it was mounted, Node asks the one in which we run. Where they differ, index
 * and MTU would be those of another host's interface of the same name, so the MAC must agree.
 */
function ownMac(device: string, seenByNode: string): string {
  const inSys = readFact(`/sys/class/net/${device}/address`).toLowerCase()
  if (!ETHERNET.test(inSys)) return NO_MAC
  if (inSys !== seenByNode.toLowerCase()) {
    throw new NodeError('E_HOST_FACTS', `/sys says that ${device} has MAC ${inSys}, the kernel says ${seenByNode}`)
  }
  return inSys
}

function readFact(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw new NodeError('E_HOST_FACTS', `cannot read ${path}`, { cause: error })
  }
}

function cidrOf({ address, prefixLength }: HostAddress): string {
  return formatBlock(blockOf(parsePrefix(`${address}/${prefixLength}`)!.address, prefixLength))
}

/** `eth0 10.1.0.1/24, lan1 10.2.0.1/24` */
function listed(interfaces: readonly HostInterface[]): string {
  const all = interfaces.flatMap(({ name, addresses }) =>
    addresses.map(({ address, prefixLength }) => `${name} ${address}/${prefixLength}`),
  )
  return all.length === 0 ? 'no IPv4 address at all' : all.join(', ')
}
