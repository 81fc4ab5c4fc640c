/**
 * What the lab hands to each daemon: a config file as an operator would write it, and the shared cluster key (libp2p's
 * swarm key, pnet specification v1).
 */
import { randomBytes } from 'node:crypto'
import { stringify } from 'yaml'
import { GOSSIP_PORT, SERVICE_PORT, publishedRanges, seedsOf } from './spec.ts'
import type { LabHostPlan, LabSpec } from './spec.ts'
import { clusterKeyFile, hostPaths } from './state.ts'

/** The config file of one host, YAML. Overrides replace whole top-level keys. */
export function hostConfig(spec: LabSpec, host: LabHostPlan): string {
  const paths = hostPaths(spec.name, host.name)
  return stringify({
    name: host.name,
    nodeAddress: host.address,
    clusterKeyFile: clusterKeyFile(spec.name),
    gossip: { port: GOSSIP_PORT, seeds: seedsOf(spec, host) },
    publishedRanges: publishedRanges(spec),
    published: [...host.published],
    services: [{ protocol: 'tcp', port: SERVICE_PORT }],
    attachments: [{ interface: 'eth0', segment: host.segment }],
    policy: { name: spec.policy },
    load: { source: 'flows', fullAt: spec.fullAt },
    datapath: { engine: spec.datapath },
    addressing: spec.addressing,
    stateDirectory: paths.state,
    runtimeDirectory: paths.runtime,
    log: { level: 'info', format: 'json' },
    ...spec.overrides[host.name],
  })
}

/** A fresh cluster key: 32 random bytes in the swarm key's text form. */
export function newClusterKey(): string {
  return `/key/swarm/psk/1.0.0/\n/base16/\n${randomBytes(32).toString('hex')}\n`
}
