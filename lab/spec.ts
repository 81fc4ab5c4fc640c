/**
 * What a lab is, as plain data: how many hosts on how many L2 segments, which addresses they have and what runs on
 * them. Everything else (commands, config files, diagrams) is computed from this; nothing here touches the machine.
 *
 *   client 10.9.0.9 ── router .254 ─┬─ lan-a 10.1.0.0/24: h1 .1, h2 .2 …   published 10.1.0.101, .102 …
 *                                   └─ lan-b 10.2.0.0/24: h3 .1, h4 .2 …   published 10.2.0.101, .102 …
 */
import type { PolicyName } from '../policy/types.ts'
import { LabError } from './errors.ts'

/** Bounds: the last octets 1 to 26 (hosts) and 101 to 126 (published, inside .96/27) must not meet. */
export const SEGMENTS_MAX = 8
export const HOSTS_PER_SEGMENT_MAX = 26

/** Policies by name, for flags and validation alike. */
export const POLICY_NAMES: readonly PolicyName[] = ['above-average', 'ring', 'hash', 'router', 'local']
export const DATAPATH_NAMES = ['tun', 'bpf'] as const
export const ADDRESSING_NAMES = ['auto', 'mac', 'ipip'] as const

export const CLIENT_ADDRESS = '10.9.0.9'
export const CLIENT_GATEWAY = '10.9.0.254'
/** Port of the service on every published address. */
export const SERVICE_PORT = 80
export const GOSSIP_PORT = 7600
/** Seeds that a host's config names: enough to survive the loss of several, few enough to read. */
const SEEDS_MAX = 5

export interface LabSpec {
  /** Names the namespaces `dpr-<name>-<node>` and the directory /run/dpr-lab/<name>. */
  readonly name: string
  readonly segments: number
  readonly hostsPerSegment: number
  /** Wire MTU of every link, bytes. */
  readonly mtu: number
  /** Rate of every host's link in both directions, Mbit/s; undefined = as fast as the machine goes. */
  readonly linkMbit: number | undefined
  readonly policy: PolicyName
  /** Flows at which a host is full. */
  readonly fullAt: number
  readonly datapath: (typeof DATAPATH_NAMES)[number]
  readonly addressing: (typeof ADDRESSING_NAMES)[number]
  /** Shell command that serves instead of the built-in web server. */
  readonly server: string | undefined
  /** false: bare hosts, no DPR. */
  readonly daemons: boolean
  /** false: nothing listens on the service port. */
  readonly servers: boolean
  /** Top-level keys of a host's config that replace what the lab writes, by host name. */
  readonly overrides: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

/** A host of a lab: all its names and addresses. */
export interface LabHostPlan {
  readonly name: string
  readonly namespace: string
  /** Segment name, `lan-a` …; also the router's leg. */
  readonly segment: string
  /** 1 for lan-a; the second octet of its addresses. */
  readonly segmentNumber: number
  /** Node address. */
  readonly address: string
  readonly mac: string
  readonly gateway: string
  /** Published addresses whose home this host is. */
  readonly published: readonly string[]
}

/** Everything may be left out; `labSpec` fills in the defaults. */
export type LabSpecOptions = { [K in keyof LabSpec]?: LabSpec[K] | undefined }

/**
 * Completes and checks a lab's description.
 * @throws LabError E_LAB_SPEC that names the option
 */
export function labSpec(options: LabSpecOptions = {}): LabSpec {
  const spec: LabSpec = {
    name: options.name ?? 'lab',
    segments: options.segments ?? 2,
    hostsPerSegment: options.hostsPerSegment ?? 2,
    mtu: options.mtu ?? 1500,
    linkMbit: options.linkMbit,
    policy: options.policy ?? 'above-average',
    fullAt: options.fullAt ?? 1_000,
    datapath: options.datapath ?? 'tun',
    addressing: options.addressing ?? 'auto',
    server: options.server,
    daemons: options.daemons ?? true,
    servers: options.servers ?? true,
    overrides: options.overrides ?? {},
  }
  checkName(spec.name)
  checkRange('segments', spec.segments, 1, SEGMENTS_MAX)
  checkRange('hosts-per-segment', spec.hostsPerSegment, 1, HOSTS_PER_SEGMENT_MAX)
  checkRange('mtu', spec.mtu, 576, 9_000)
  checkRange('full-at', spec.fullAt, 1, 10_000_000)
  if (spec.linkMbit !== undefined) checkRange('link-mbit', spec.linkMbit, 1, 100_000)
  checkChoice('policy', spec.policy, POLICY_NAMES)
  checkChoice('datapath', spec.datapath, DATAPATH_NAMES)
  checkChoice('addressing', spec.addressing, ADDRESSING_NAMES)
  const names = new Set(labHosts(spec).map((host) => host.name))
  for (const name of Object.keys(spec.overrides)) {
    if (!names.has(name)) throw invalid(`overrides name the host ${name}, which this lab does not have`)
  }
  return Object.freeze(spec)
}

/** The name is part of namespace names, paths and a socket path of at most 107 bytes. */
export function checkName(name: string): void {
  if (!/^[a-z0-9][a-z0-9-]{0,23}$/.test(name)) {
    throw invalid(`the lab's name "${name}" must be 1 to 24 lower-case letters, digits and hyphens`)
  }
}

function checkRange(option: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw invalid(`${option} is ${value}; it must be a whole number from ${min} to ${max}`)
  }
}

function checkChoice(option: string, value: string, choices: readonly string[]): void {
  if (!choices.includes(value)) throw invalid(`${option} is ${value}; it must be one of ${choices.join(', ')}`)
}

function invalid(message: string): LabError {
  return new LabError('E_LAB_SPEC', message, 'correct the option; `dpr lab up --help` lists them all')
}

export function namespaceOf(labName: string, node: string): string {
  return `dpr-${labName}-${node}`
}

export function segmentName(segmentNumber: number): string {
  return `lan-${String.fromCodePoint(96 + segmentNumber)}`
}

/** All hosts, h1 to hN, segment by segment. */
export function labHosts(spec: LabSpec): LabHostPlan[] {
  const hosts: LabHostPlan[] = []
  for (let segmentNumber = 1; segmentNumber <= spec.segments; segmentNumber++) {
    for (let k = 1; k <= spec.hostsPerSegment; k++) {
      const name = `h${hosts.length + 1}`
      hosts.push({
        name,
        namespace: namespaceOf(spec.name, name),
        segment: segmentName(segmentNumber),
        segmentNumber,
        address: `10.${segmentNumber}.0.${k}`,
        // A locally administered address that says who it is: 02, "dpr" in ASCII, segment, host.
        mac: ['02', '64', '70', '72', octet(segmentNumber), octet(k)].join(':'),
        gateway: `10.${segmentNumber}.0.254`,
        published: [`10.${segmentNumber}.0.${100 + k}`],
      })
    }
  }
  return hosts
}

function octet(value: number): string {
  return value.toString(16).padStart(2, '0')
}

/** The cluster-wide bound of published addresses: one range per segment. */
export function publishedRanges(spec: LabSpec): string[] {
  return Array.from({ length: spec.segments }, (_, index) => `10.${index + 1}.0.96/27`)
}

/** Whom a host asks first: the other hosts, nearest neighbours in the list first. */
export function seedsOf(spec: LabSpec, host: LabHostPlan): string[] {
  const hosts = labHosts(spec)
  const own = hosts.findIndex((other) => other.name === host.name)
  const others = hosts.slice(own + 1).concat(hosts.slice(0, own))
  return others.slice(0, SEEDS_MAX).map((other) => `${other.address}:${GOSSIP_PORT}`)
}
