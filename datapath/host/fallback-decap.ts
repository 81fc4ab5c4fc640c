/**
 * The decapsulator that serves while no daemon does. When a daemon is killed its guard removes the redirect filters and
 * the host's own stack takes over; a flow that arrives as IPIP would find nobody to strip its outer header there. So a
 * small classifier waits behind the redirect filters, at a later priority, and meets IPIP only once they are gone.
 *
 * The filter alone keeps program and maps alive: they outlive this process, with the members and addresses it knew
 * last, until the next daemon replaces the filter or `tc filter del dev IF ingress prio 48120` removes it.
 */
import { closeSync } from 'node:fs'
import { AddressMap, addressBytes } from '../bpf-loader/address-map.ts'
import { loadClassifier } from '../bpf-loader/bpf.ts'
import { putFilter, removeFilter } from '../bpf-loader/tc-filter.ts'
import { DatapathError } from '../errors.ts'
import { decapProgram } from './fallback-decap-program.ts'

/** Later than every redirect filter of ours. */
export const FALLBACK_DECAP_PRIORITY = 48_120

const FILTER_NAME = 'dpr-decap'
const PROGRAM_NAME = 'dpr_decap'
const ENOENT = 2
const ENODEV = 19
const EINVAL = 22

export interface FallbackInterface {
  name: string
  ifindex: number
  /** An address of this host in which tunnels end, whichever of the interfaces they arrive on. */
  address: string
}

export interface FallbackDecap {
  /**
   * Loads the program and puts it on these interfaces, and on these only; each has a clsact qdisc already. A filter that
   * an earlier daemon left is replaced without a gap, so name members and published addresses first.
   * @throws DatapathError E_NO_BPF, E_INTERFACE_GONE or E_HOST_PLAN; nothing is attached then.
   */
  attach(interfaces: FallbackInterface[]): void
  /**
   * All node addresses that may send tunnels, without our own; holds for a later attach too.
   * @throws DatapathError E_HOST_PLAN (no address, or more than ADDRESS_MAP_ENTRIES_MAX), E_NO_BPF
   */
  setMembers(addresses: string[]): void
  /** All published addresses; otherwise like `setMembers`. */
  setPublished(addresses: string[]): void
  /**
   * Takes the filters away and lets the program go. Idempotent; an interface that is gone is no error.
   * @throws DatapathError E_NO_BPF if the kernel would not let go of a filter.
   */
  detach(): void
}

export function createFallbackDecap(): FallbackDecap {
  const members = new AddressMap('dpr_members')
  const published = new AddressMap('dpr_published')
  /** Interface indices that may carry our filter. */
  let attached = new Set<number>()

  /** Returns the interfaces that still carry the filter. */
  function release(): Set<number> {
    attached = new Set([...attached].filter((ifindex) => !takeOff(ifindex)))
    members.close()
    published.close()
    return attached
  }

  function detach(): void {
    const left = release()
    if (left.size === 0) return
    throw new DatapathError(
      'E_NO_BPF',
      `the fallback decapsulator is still on interface ${[...left].join(', ')}`,
      `Run: tc filter del dev IF ingress protocol ip prio ${FALLBACK_DECAP_PRIORITY}`,
    )
  }

  function load(interfaces: FallbackInterface[]): number {
    const own = [...new Set(interfaces.map(({ address }) => address))].map(addressBytes)
    const code = decapProgram({ own, membersMap: members.open(), publishedMap: published.open() })
    return loadClassifier(PROGRAM_NAME, code)
  }

  function attach(interfaces: FallbackInterface[]): void {
    if (interfaces.length === 0) return detach()
    const wanted = new Set(interfaces.map(({ ifindex }) => ifindex))
    let programFd = -1
    try {
      programFd = load(interfaces)
      for (const at of interfaces) {
        putOn(at, programFd)
        attached.add(at.ifindex)
      }
    } catch (error) {
      release()
      throw error
    } finally {
      if (programFd >= 0) closeSync(programFd)
    }
    for (const ifindex of attached) if (!wanted.has(ifindex)) takeOff(ifindex)
    attached = wanted
  }

  return {
    attach,
    setMembers: (addresses) => members.replace(addresses),
    setPublished: (addresses) => published.replace(addresses),
    detach,
  }
}

function putOn({ name, ifindex }: FallbackInterface, programFd: number): void {
  const { errno, reason } = putFilter({ ifindex, priority: FALLBACK_DECAP_PRIORITY }, programFd, FILTER_NAME)
  if (errno === 0) return
  const what = `cannot attach the fallback decapsulator to ${name}: ${reason}`
  if (errno === ENODEV) {
    throw new DatapathError('E_INTERFACE_GONE', what, `Name an interface that exists; index ${ifindex} does not.`)
  }
  throw new DatapathError(
    'E_NO_BPF',
    what,
    `It needs CAP_NET_ADMIN, a kernel with CONFIG_NET_CLS_BPF, a clsact qdisc on ${name} (tc qdisc add dev ${name} ` +
      `clsact), and priority ${FALLBACK_DECAP_PRIORITY} of its ingress to itself.`,
  )
}

/** True if no filter of ours is there any more; no filter, no qdisc and no interface each give another errno. */
function takeOff(ifindex: number): boolean {
  const { errno } = removeFilter({ ifindex, priority: FALLBACK_DECAP_PRIORITY })
  return [0, ENOENT, ENODEV, EINVAL].includes(errno)
}
