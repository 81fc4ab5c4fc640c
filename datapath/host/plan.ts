/**
 * What the node wants of its host, as plain data, and its validation: nothing of a plan reaches a command unchecked.
 */
import { DatapathError } from '../errors.ts'
import { isAddress, isInterfaceName, isMac } from './addresses.ts'
import type { MssClamp } from './nft.ts'

/** One per attachment. */
export interface HostInterface {
  name: string
  ifindex: number
  mac: string
  /** This host's address on it, where tunnels may end. */
  address: string
}

export interface HostPlan {
  /** The engine's device, for example dpr0. It must exist and be up before `steer`. */
  device: string
  interfaces: readonly HostInterface[]
  /** Accepted on `lo` and steered: all of them, announced here or not. */
  publishedAddresses: readonly string[]
  /** The highest MSS that this host's server may offer from a published address. */
  clamps: readonly MssClamp[]
}

/** Every published address costs each ingress frame one more comparison; see tc.ts. */
const PUBLISHED_ADDRESSES_MAX = 1_024
const INTERFACES_MAX = 64
/** RFC 9293, section 3.7.1: what every host takes; a smaller clamp is a mistake. */
const MSS_MIN = 536
const MSS_MAX = 65_495

/** @throws DatapathError E_HOST_PLAN naming what is wrong. */
export function checkPlan(plan: HostPlan, device: string): void {
  const { interfaces, publishedAddresses, clamps } = plan
  if (plan.device !== device) refuse(`the plan's device ${plan.device} is not ${device}`)
  if (!isInterfaceName(device)) refuse(`${device} cannot name a device`)
  if (interfaces.length > INTERFACES_MAX) refuse(`${interfaces.length} interfaces are more than ${INTERFACES_MAX}`)
  if (publishedAddresses.length > PUBLISHED_ADDRESSES_MAX) {
    refuse(`${publishedAddresses.length} published addresses are more than ${PUBLISHED_ADDRESSES_MAX}`)
  }
  for (const { name, mac, address } of interfaces) {
    if (!isInterfaceName(name)) refuse(`${name} cannot name an interface`)
    if (!isMac(mac)) refuse(`${mac} of ${name} is no MAC`)
    if (!isAddress(address)) refuse(`${address} of ${name} is no IPv4 address`)
  }
  for (const address of publishedAddresses) {
    if (!isAddress(address)) refuse(`the published address ${address} is no IPv4 address`)
    if (interfaces.some((own) => own.address === address)) refuse(`${address} is published and a node address`)
  }
  for (const { address, mss } of clamps) {
    if (!isAddress(address)) refuse(`the clamped address ${address} is no IPv4 address`)
    if (!Number.isInteger(mss) || mss < MSS_MIN || mss > MSS_MAX) refuse(`an MSS of ${mss} for ${address} cannot be`)
  }
}

function refuse(what: string): never {
  throw new DatapathError('E_HOST_PLAN', what, 'Correct the interface or address in the configuration of this node.')
}
