/**
 * A lab's network as commands: pure, so that what will run can be read and tested without running it.
 *
 *   dpr-NAME-client         dpr-NAME-router            dpr-NAME-switch              dpr-NAME-h1 …
 *     eth0 10.9.0.9 ────────── client .254
 *                              lan-a 10.1.0.254 ─────── rt-a ┐ bridge br-a
 *                                                       h1   ┘ ───────────────────── eth0 10.1.0.1
 *
 * The switch is a namespace of its own, so a port can be cut there (`ip link set h1 down`) or flooding be forced
 * (`ageing_time 0`) without touching a host. Every veth is created with both ends inside namespaces: the machine's own
 * network never sees one. Commands are batched, so that a lab of four hosts takes some 25 short processes.
 */
import { CLIENT_ADDRESS, CLIENT_GATEWAY, labHosts, namespaceOf, segmentName } from './spec.ts'
import type { LabHostPlan, LabSpec } from './spec.ts'

/** What happens inside one namespace, in this order. */
export interface NamespacePlan {
  readonly namespace: string
  /** `key=value`, set before links exist so that they inherit; unknown keys (no IPv6 in this kernel) are ignored. */
  readonly sysctls: readonly string[]
  /** Lines for `ip -batch`. */
  readonly ip: readonly string[]
  /** Lines for `tc -batch`. */
  readonly tc: readonly string[]
}

export interface TopologyPlan {
  /** Lines for `ip -batch`: the namespaces. */
  readonly namespaces: readonly string[]
  /** Lines for `ip -batch`: veth pairs, born with both ends in their namespaces. */
  readonly links: readonly string[]
  readonly inside: readonly NamespacePlan[]
}

const NO_IPV6 = ['net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1']

/**
 * The kernel's defaults, spelled out: namespaces inherit the machine's IPv4 settings, and a daemon must find here what
 * it would find on a fresh host, whatever this machine is tuned to.
 */
const FRESH_HOST = ['all', 'default'].flatMap((scope) => [
  `net.ipv4.conf.${scope}.rp_filter=0`,
  `net.ipv4.conf.${scope}.arp_ignore=0`,
  `net.ipv4.conf.${scope}.arp_announce=0`,
])

/** Replies of another segment's hosts carry foreign source addresses: the router must not check reverse paths. */
const ROUTER = ['net.ipv4.ip_forward=1', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.default.rp_filter=0']

/** Many short connections from one address: every port, and TIME_WAIT reused. */
const CLIENT = ['net.ipv4.ip_local_port_range=1024 65535', 'net.ipv4.tcp_tw_reuse=1']

/** Accept bursts as a tuned web server would, rather than measure the default backlog. */
const SERVER = ['net.core.somaxconn=4096', 'net.ipv4.tcp_max_syn_backlog=4096']

/** The nodes that are no hosts. */
export const HELPERS = ['client', 'router', 'switch'] as const

/** Every namespace of the lab, helpers first. */
export function namespacesOf(spec: LabSpec): string[] {
  return [...HELPERS.map((node) => namespaceOf(spec.name, node)), ...labHosts(spec).map((host) => host.namespace)]
}

/** Whether a namespace belongs to the lab of that name; finds what a lab that nobody remembers has left behind. */
export function belongsTo(labName: string, namespace: string): boolean {
  const prefix = `dpr-${labName}-`
  return namespace.startsWith(prefix) && /^(?:client|router|switch|h\d{1,3})$/.test(namespace.slice(prefix.length))
}

export function topologyPlan(spec: LabSpec): TopologyPlan {
  const hosts = labHosts(spec)
  const numbers = Array.from({ length: spec.segments }, (_, index) => index + 1)
  const inSwitch = namespaceOf(spec.name, 'switch')
  const inRouter = namespaceOf(spec.name, 'router')
  const inClient = namespaceOf(spec.name, 'client')
  const veth = (name: string, namespace: string, peer: string, peerNamespace: string, mac = '') =>
    `link add ${name} mtu ${spec.mtu} ${mac === '' ? '' : `address ${mac} `}netns ${namespace} ` +
    `type veth peer name ${peer} mtu ${spec.mtu} netns ${peerNamespace}`

  return {
    namespaces: namespacesOf(spec).map((namespace) => `netns add ${namespace}`),
    links: [
      veth('eth0', inClient, 'client', inRouter),
      ...numbers.map((n) => veth(segmentName(n), inRouter, routerPort(n), inSwitch)),
      ...hosts.map((host) => veth('eth0', host.namespace, host.name, inSwitch, host.mac)),
    ],
    inside: [
      switchPlan(spec, inSwitch, numbers, hosts),
      routerPlan(inRouter, numbers),
      {
        namespace: inClient,
        sysctls: [...NO_IPV6, ...CLIENT],
        ip: [...up('lo'), ...up('eth0', `${CLIENT_ADDRESS}/24`), `route add default via ${CLIENT_GATEWAY}`],
        tc: [],
      },
      ...hosts.map((host) => hostPlan(spec, host)),
    ],
  }
}

/** The switch's port towards the router, one per segment: `rt-a`. */
function routerPort(segmentNumber: number): string {
  return segmentName(segmentNumber).replace('lan', 'rt')
}

function switchPlan(spec: LabSpec, namespace: string, numbers: number[], hosts: LabHostPlan[]): NamespacePlan {
  const bridge = (n: number) => segmentName(n).replace('lan', 'br')
  const port = (name: string, n: number) => `link set ${name} master ${bridge(n)} up`
  return {
    namespace,
    sysctls: NO_IPV6,
    ip: [
      ...up('lo'),
      ...numbers.flatMap((n) => [
        `link add ${bridge(n)} mtu ${spec.mtu} type bridge stp_state 0 mcast_snooping 0`,
        `link set ${bridge(n)} up`,
        port(routerPort(n), n),
      ]),
      ...hosts.map((host) => port(host.name, host.segmentNumber)),
    ],
    tc: spec.linkMbit === undefined ? [] : hosts.map((host) => limit(host.name, spec.linkMbit)),
  }
}

function routerPlan(namespace: string, numbers: number[]): NamespacePlan {
  return {
    namespace,
    sysctls: [...NO_IPV6, ...ROUTER],
    ip: [
      ...up('lo'),
      ...up('client', `${CLIENT_GATEWAY}/24`),
      ...numbers.flatMap((n) => up(segmentName(n), `10.${n}.0.254/24`)),
    ],
    tc: [],
  }
}

function hostPlan(spec: LabSpec, host: LabHostPlan): NamespacePlan {
  return {
    namespace: host.namespace,
    sysctls: [...NO_IPV6, ...FRESH_HOST, ...SERVER],
    ip: [...up('lo'), ...up('eth0', `${host.address}/24`), `route add default via ${host.gateway}`],
    tc: spec.linkMbit === undefined ? [] : [limit('eth0', spec.linkMbit)],
  }
}

function up(device: string, address?: string): string[] {
  return [...(address === undefined ? [] : [`addr add ${address} dev ${device}`]), `link set ${device} up`]
}

/** A token bucket: burst of 1 ms at 2 Gbit/s, at least two super-packets, and a queue of at most 50 ms. */
function limit(device: string, mbit: number | undefined): string {
  return `qdisc add dev ${device} root tbf rate ${mbit}mbit burst 256kb latency 50ms`
}
