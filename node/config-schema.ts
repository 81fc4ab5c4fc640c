/**
 * The configuration's shape: every key, what it may hold, its default. Each leaf carries one sentence that says what
 * would be right; the messages are built from it. Rules that need two keys are in config-rules.ts; everything that
 * depends on the host is the daemon's (host-facts.ts).
 */
import { z } from 'zod'
import { DEFAULTS } from './defaults.ts'
import { isUnicast, parseAddress, parseBlock } from './ipv4.ts'

export const CONFIG_FILE_DEFAULT = '/etc/dpr/config.yaml'

export const POLICY_NAMES = ['above-average', 'ring', 'hash', 'router', 'local'] as const
export const GOSSIP_PRESETS = ['lan', 'wan'] as const
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

/** The kernel's IFNAMSIZ is 16 with the final zero. */
const INTERFACE_NAME = /^(?!\.{1,2}$)[^\s/:]{1,15}$/u
const NODE_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/u
const SEGMENT_NAME = /^[\x21-\x7e]{1,64}$/u
const ABSOLUTE_PATH = /^\/[^\0]*$/u
/** Ten minutes: past this a ramp is rather a capacity. */
const SLOW_START_MS_MAX = 600_000
/** The id of an Ed25519 key: 52 characters, the first ones always the same (libp2p peer id specification). */
const PEER_ID = /^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/u
/** One is enough to rotate the key; each is tried with every connection that does not speak the first. */
const OTHER_KEYS_MAX = 3
/** A socket's path holds 107 bytes (unix(7)) and `/control.sock` takes 13 of them. */
const RUNTIME_DIRECTORY_BYTES_MAX = 94

function text(right: string, test: (value: string) => boolean) {
  return z.string({ error: right }).refine(test, { error: right })
}

function oneOf<const Names extends readonly string[]>(names: Names) {
  return z.enum(names, { error: names.length === 1 ? `use ${names[0]}` : `use one of ${names.join(', ')}` })
}

function whole(min: number, max: number) {
  const error = `use a whole number from ${min} to ${max}`
  return z.int({ error }).min(min, { error }).max(max, { error })
}

function real(min: number, max: number) {
  const error = `use a number from ${min} to ${max}`
  return z.number({ error }).min(min, { error }).max(max, { error })
}

function positive(max: number) {
  const error = `use a number above 0 and at most ${max}`
  return z.number({ error }).gt(0, { error }).max(max, { error })
}

function list<Item extends z.ZodType>(item: Item, right: string) {
  return z.array(item, { error: `use a list: ${right}` })
}

function section<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.strictObject(shape, { error: `use a mapping with the keys ${Object.keys(shape).join(', ')}` })
}

function isUnicastText(value: string): boolean {
  const address = parseAddress(value)
  return address !== undefined && isUnicast(address)
}

/** The whole of IPv4 is no bound: a range is there to keep a typo from taking the gateway's address. */
function isBlockText(value: string): boolean {
  const block = parseBlock(value)
  return block !== undefined && block.prefixLength > 0
}

function isEndpointText(value: string, isAddress: (text: string) => boolean): boolean {
  const [address, port, ...rest] = value.split(':')
  if (address === undefined || port === undefined || rest.length > 0) return false
  return isAddress(address) && /^[1-9]\d{0,4}$/u.test(port) && Number(port) <= 65_535
}

/** Where a host can listen: an address of its own, loopback, or all of them. */
function isListenText(value: string): boolean {
  return isUnicastText(value) || value === '0.0.0.0' || (parseAddress(value) ?? 0) >>> 24 === 127
}

const flag = z.boolean({ error: 'use true or false' })
const unicast = text('use a unicast IPv4 address such as 10.1.0.1', isUnicastText)
const block = text('use an IPv4 block in CIDR form without host bits, such as 10.1.0.96/28', isBlockText)
const seed = text('use ADDRESS:PORT of another node, such as "10.1.0.2:7600"', (value) =>
  isEndpointText(value, isUnicastText),
)
const listen = text('use ADDRESS:PORT of this host, such as "127.0.0.1:9600"', (value) =>
  isEndpointText(value, isListenText),
)
const peerId = text('use the id of a node, 52 characters from 12D3KooW on, as dpr peers --json shows it', (value) =>
  PEER_ID.test(value),
)
const path = text('use an absolute path', (value) => ABSOLUTE_PATH.test(value))
const interfaceName = text('use the name of a network interface, 1 to 15 characters', (value) =>
  INTERFACE_NAME.test(value),
)
const segmentName = text('use 1 to 64 printable characters without spaces', (value) => SEGMENT_NAME.test(value))
const runtimePath = text(
  `use an absolute path of at most ${RUNTIME_DIRECTORY_BYTES_MAX} bytes: it holds a Unix socket`,
  (value) => ABSOLUTE_PATH.test(value) && Buffer.byteLength(value) <= RUNTIME_DIRECTORY_BYTES_MAX,
)

export const configSchema = section({
  name: text('use 1 to 63 letters, digits, dots, dashes and underscores, in quotes if it is a number', (value) =>
    NODE_NAME.test(value),
  ),
  nodeAddress: unicast,
  clusterKeyFile: path.default('/etc/dpr/cluster.key'),
  gossip: section({
    port: whole(1, 65_535).default(DEFAULTS.gossipPort),
    seeds: list(seed, '["10.1.0.2:7600"]').default([]),
    mdns: flag.optional(),
    preset: oneOf(GOSSIP_PRESETS).default('lan'),
    allow: list(peerId, '["12D3KooW…"]')
      .min(1, { error: 'use at least one id, or leave the key out: then whoever has the cluster key may join' })
      .optional(),
    otherClusterKeyFiles: list(path, '["/etc/dpr/cluster.key.new"]')
      .max(OTHER_KEYS_MAX, { error: `use at most ${OTHER_KEYS_MAX} other keys` })
      .default([]),
  }).prefault({}),
  publishedRanges: list(block, '["10.1.0.96/28"]').min(1, {
    error: 'use at least one block, such as ["10.1.0.96/28"]',
  }),
  published: list(unicast, '["10.1.0.101"]').default([]),
  services: list(
    section({ protocol: z.enum(['tcp'], { error: 'use tcp: udp is not supported yet' }), port: whole(1, 65_535) }),
    '[{ protocol: tcp, port: 80 }]',
  ).min(1, { error: 'use at least one service, such as [{ protocol: tcp, port: 80 }]' }),
  attachments: list(
    section({ interface: interfaceName, segment: segmentName.optional() }),
    '[{ interface: eth0, segment: lan-a }]',
  ).default([]),
  policy: section({
    name: oneOf(POLICY_NAMES).default('above-average'),
    tolerance: real(0, 10).default(DEFAULTS.tolerance),
    z: real(0, 10).default(DEFAULTS.z),
    minLoad: real(0, 1).default(DEFAULTS.minLoad),
    slowStartMs: whole(0, SLOW_START_MS_MAX).default(DEFAULTS.slowStartMs),
  }).prefault({}),
  capacity: positive(1_000).default(DEFAULTS.capacity),
  load: section({
    source: oneOf(['flows']).default('flows'),
    fullAt: positive(10_000_000).default(DEFAULTS.fullAt),
  }).prefault({}),
  datapath: section({
    engine: oneOf(['tun']).default('tun'),
    device: interfaceName.default('dpr0'),
    flowTableEntries: whole(1_024, 16_777_216).default(DEFAULTS.flowTableEntries),
  }).prefault({}),
  addressing: oneOf(['auto', 'mac', 'ipip']).default('auto'),
  stateDirectory: path.default('/var/lib/dpr'),
  runtimeDirectory: runtimePath.default('/run/dpr'),
  metrics: section({ listen: listen.optional() }).prefault({}),
  log: section({
    level: oneOf(LOG_LEVELS).default('info'),
    format: oneOf(['json', 'pretty']).default('json'),
  }).prefault({}),
})

type DeepReadonly<T> = T extends object ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> } : T

/** A configuration that is complete (defaults filled in), checked and frozen. */
export type Config = DeepReadonly<z.output<typeof configSchema>>

/** The keys that are valid at a path of the configuration; empty where no mapping is expected. */
export function knownKeys(at: readonly PropertyKey[]): string[] {
  let schema: unknown = configSchema
  for (const step of at) {
    schema = bare(schema)
    if (schema instanceof z.ZodObject) schema = schema.shape[String(step)]
    else if (schema instanceof z.ZodArray) schema = schema.element
    else return []
  }
  schema = bare(schema)
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : []
}

function bare(schema: unknown): unknown {
  const wrapped = schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional
  return wrapped ? bare(schema.unwrap()) : schema
}
