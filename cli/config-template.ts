/**
 * The configuration file that `dpr init` writes: every key an operator is likely to touch, each with a comment.
 */
import type { Config } from '../node/config-schema.ts'

/** RFC 5737: blocks for documentation, which exist nowhere. A cluster that keeps one publishes nothing. */
export const PLACEHOLDER_RANGES = ['192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24'] as const

const PLACEHOLDER_NOTE = '\n# A PLACEHOLDER STANDS HERE (RFC 5737): put your own block in its place.'

export function renderConfig(config: Config): string {
  const { gossip, policy, load, log } = config
  return `# Configuration of this DPR node. Reference: docs/reference/config.md
# Environment variables stand over this file, flags of dpr node start over both.

# Name of this node, unique in the cluster.
name: ${flow(config.name)}

# Address of this host itself: where gossip arrives and tunnels end. Never a published address.
nodeAddress: ${flow(config.nodeAddress)}

# The same key on every node of the cluster; copy the file, keep its mode 0600.
clusterKeyFile: ${flow(config.clusterKeyFile)}

gossip:
  port: ${gossip.port}
  # Some other nodes, ADDRESS:PORT. One that answers is enough; those that do not are dialled for ever. While the list
  # is empty, nodes on the same network find each other by multicast DNS; mdns: true or false decides it.
  seeds: ${flow(gossip.seeds)}
  # lan | wan: times of failure detection. The same on every node.
  preset: ${gossip.preset}
  # Only these nodes may join, by id (dpr peers --json shows it), however many have the key.
  # allow: ["12D3KooW…"]
  # Keys that are accepted besides, while the cluster's key is being changed.
  # otherClusterKeyFiles: [${flow(`${config.clusterKeyFile}.new`)}]

# Blocks that hold every published address of the cluster, and no other address. The same on every node: what lies
# outside is refused, whoever announces it.${hasPlaceholder(config) ? PLACEHOLDER_NOTE : ''}
publishedRanges: ${flow(config.publishedRanges)}

# Addresses that clients are told and whose home is this node: it announces them while it runs.
published: ${flow(config.published)}

# What clients may reach on the published addresses. The same on every node.
services: ${flow(config.services)}

# Interfaces towards clients and peers. Without this, the interface of nodeAddress; its segment is then named by its
# block. Nodes with an attachment to the same segment reach each other without a tunnel.
# attachments: [{ interface: eth0, segment: lan-a }]

# above-average | ring | hash | router | local
policy:
  name: ${policy.name}
  # Share above the cluster's average load that is tolerated before flows are redirected.
  tolerance: ${policy.tolerance}

# Relative weight of this host.
capacity: ${config.capacity}

load:
  source: ${load.source}
  # Flows at which this host is full.
  fullAt: ${load.fullAt}

stateDirectory: ${flow(config.stateDirectory)}
runtimeDirectory: ${flow(config.runtimeDirectory)}

# Metrics for Prometheus are served on the control socket; over TCP only if this says where.
# metrics: { listen: ${flow(`${config.nodeAddress}:9600`)} }

log:
  level: ${log.level}
  format: ${log.format}
`
}

/** Whether nobody has said yet which addresses the cluster publishes. */
export function hasPlaceholder(config: Config): boolean {
  return config.publishedRanges.some((range) => PLACEHOLDER_RANGES.some((placeholder) => placeholder === range))
}

/** One-line YAML. JSON is YAML; the spaces are for people. */
function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`
  if (typeof value === 'object' && value !== null) {
    const pairs = Object.entries(value).map(([key, item]) => `${key}: ${flow(item)}`)
    return `{ ${pairs.join(', ')} }`
  }
  return JSON.stringify(value)
}
