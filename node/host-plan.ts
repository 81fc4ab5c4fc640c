/** What this node wants of its host, from its view of the cluster. Pure. */
import type { HostPlan } from '../datapath/host/plan.ts'
import { commonSegment } from './claims.ts'
import type { HostAttachment } from './host-facts.ts'
import type { Standing } from './view.ts'

const IPV4_TCP_HEADERS_BYTES = 40
const OUTER_HEADER_BYTES = 20

/**
 * Every published address of the cluster is accepted and steered, announced here or not. Flows of an address whose
 * home is in another segment arrive here through a tunnel, so the MSS offered from it leaves room for the outer header.
 */
export function hostPlan(
  view: Pick<Standing, 'published'>,
  attachments: readonly HostAttachment[],
  addressing: 'auto' | 'mac' | 'ipip',
  device: string,
): HostPlan {
  const mss = Math.min(...attachments.map(({ mtu }) => mtu)) - OUTER_HEADER_BYTES - IPV4_TCP_HEADERS_BYTES
  const tunnelled = view.published.addresses.filter(({ homes }) =>
    homes.some(
      ({ self, facts }) =>
        !self && (addressing === 'ipip' || commonSegment(attachments, facts.attachments) === undefined),
    ),
  )
  return {
    device,
    interfaces: attachments.map(({ interface: name, ifindex, mac, address }) => ({ name, ifindex, mac, address })),
    publishedAddresses: view.published.addresses.map(({ address }) => address),
    clamps: tunnelled.map(({ address }) => ({ address, mss })),
  }
}
