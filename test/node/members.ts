/** Members for tests: a full record with the few fields that a test cares about changed. */
import type { LoadReport, Member, MemberFacts } from '../../gossip/types.ts'

/** Of the host that the tests look from. */
export const HOST_ATTACHMENT = {
  interface: 'eth0',
  ifindex: 7,
  segment: 'lan-a',
  address: '10.1.0.1',
  prefixLength: 24,
  mac: '02:00:00:00:00:01',
  mtu: 1_500,
}

export function memberOf(
  name: string,
  facts: Partial<MemberFacts> = {},
  rest: Partial<Omit<Member, 'facts' | 'report'>> & { report?: Partial<LoadReport> } = {},
): Member {
  const number = name.charCodeAt(name.length - 1) & 15
  return {
    facts: {
      id: `id-${name}`,
      name,
      incarnation: 1,
      bootId: `boot-${name}`,
      gossipAddress: `10.1.0.${number}`,
      gossipPort: 7_600,
      attachments: [
        { segment: 'lan-a', address: `10.1.0.${number}`, mac: `02:00:00:00:00:0${number.toString(16)}`, mtu: 1_500 },
      ],
      homes: [],
      announces: [],
      accepts: [],
      services: [{ protocol: 'tcp', port: 80, health: 'healthy' }],
      draining: false,
      restartLeaseMs: 0,
      capacity: 1,
      capacityFlows: 100,
      protocol: { min: 1, max: 1 },
      software: '0.1.0',
      ...facts,
    },
    status: 'alive',
    self: false,
    reportVersion: 1,
    statusSinceMs: 0,
    ...rest,
    report: { load: 0, source: 'flows', ageMs: 100, ...rest.report },
  }
}
