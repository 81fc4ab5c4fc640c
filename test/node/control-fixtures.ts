import type { PeerJson, StatusJson } from '../../node/control-api.ts'

export function peer(name: string, changes: Partial<PeerJson> = {}): PeerJson {
  return {
    name,
    id: `id-${name}`,
    status: 'alive',
    address: '10.1.0.1',
    load: 0.25,
    draining: false,
    healthy: true,
    self: false,
    segments: ['lan-a'],
    homes: [],
    announces: [],
    mode: 'mac',
    eligible: true,
    flows: 12,
    reportAgeMs: 120,
    ...changes,
  }
}

export function status(changes: Partial<StatusJson> = {}): StatusJson {
  return {
    name: 'h1',
    id: 'id-h1',
    policy: 'above-average',
    datapath: 'tun',
    announces: ['10.1.0.101'],
    homes: ['10.1.0.101'],
    load: 0.5,
    clusterLoad: 0.25,
    activeFlows: 42,
    localLimit: 50,
    snapshotVersion: 7,
    steering: 'on',
    unsure: false,
    lastExchangeAgeMs: 120,
    members: { alive: 3, suspect: 0, dead: 1, left: 0 },
    keys: [{ fingerprint: 'a1b2c3d4', links: 2 }],
    hashKey: 'a1b2c3d4',
    allowed: null,
    uptimeMs: 65_000,
    pid: 4711,
    version: '0.1.0',
    counters: { local: 10, redirected: 20, received: 30, dropped: 3 },
    packets: { local: 1, mac: 2, ipip: 3, decapsulated: 4, held: 5 },
    drops: { 'truncated-header': 1, 'bad-checksum': 2, 'no-service': 0 },
    events: { 'orphans-held': 4, 'arp-answered': 0 },
    warnings: [],
    ...changes,
  }
}
