/**
 * What may be said outside the file: environment variables over the file, flags over both. One table, from which the
 * command line makes its flags and the reference its list.
 */
import type { KeyPath, Place } from './config-source.ts'

export interface Override {
  key: readonly string[]
  /** Long flag without dashes. */
  flag: string
  /** Environment variable, where there is one. */
  env?: string
  /** Where the flag is offered: both commands, or only the one that writes a file. */
  commands: 'init' | 'init and start' | 'start'
  kind: 'text' | 'number' | 'list' | 'services'
  /** For help and the reference. */
  summary: string
}

export const OVERRIDES: readonly Override[] = [
  {
    key: ['name'],
    flag: 'name',
    env: 'DPR_NAME',
    commands: 'init and start',
    kind: 'text',
    summary: 'name of this node',
  },
  {
    key: ['nodeAddress'],
    flag: 'node-address',
    env: 'DPR_NODE_ADDRESS',
    commands: 'init and start',
    kind: 'text',
    summary: 'IPv4 address of this host, where tunnels end and gossip arrives',
  },
  {
    key: ['gossip', 'port'],
    flag: 'gossip-port',
    env: 'DPR_GOSSIP_PORT',
    commands: 'init and start',
    kind: 'number',
    summary: 'TCP port of gossip',
  },
  {
    key: ['gossip', 'seeds'],
    flag: 'seeds',
    env: 'DPR_SEEDS',
    commands: 'init and start',
    kind: 'list',
    summary: 'nodes to join, ADDRESS:PORT, separated by commas',
  },
  {
    key: ['published'],
    flag: 'published',
    commands: 'init',
    kind: 'list',
    summary: 'published addresses whose home is this node, separated by commas',
  },
  {
    key: ['publishedRanges'],
    flag: 'published-ranges',
    commands: 'init',
    kind: 'list',
    summary: 'blocks that hold every published address of the cluster, separated by commas',
  },
  {
    key: ['services'],
    flag: 'services',
    commands: 'init',
    kind: 'services',
    summary: 'services on the published addresses, PROTOCOL/PORT, separated by commas',
  },
  {
    key: ['policy', 'name'],
    flag: 'policy',
    env: 'DPR_POLICY',
    commands: 'start',
    kind: 'text',
    summary: 'policy by which new flows are placed',
  },
  {
    key: ['stateDirectory'],
    flag: 'state-directory',
    env: 'DPR_STATE_DIRECTORY',
    commands: 'start',
    kind: 'text',
    summary: 'directory of what must survive restarts',
  },
  {
    key: ['runtimeDirectory'],
    flag: 'runtime-directory',
    env: 'DPR_RUNTIME_DIRECTORY',
    commands: 'start',
    kind: 'text',
    summary: 'directory of the control socket and the journal of host changes',
  },
  {
    key: ['metrics', 'listen'],
    flag: 'metrics-listen',
    env: 'DPR_METRICS_LISTEN',
    commands: 'start',
    kind: 'text',
    summary: 'address and port where metrics are served over TCP as well, ADDRESS:PORT',
  },
  {
    key: ['log', 'level'],
    flag: 'log-level',
    env: 'DPR_LOG_LEVEL',
    commands: 'start',
    kind: 'text',
    summary: 'least severity that is logged',
  },
]

export type Environment = Readonly<Record<string, string | undefined>>
/** Values of flags by long name; undefined = not given. */
export type FlagValues = Readonly<Record<string, string | undefined>>

/**
 * Lays variables and flags over the file's tree, which is left as it is. An empty variable counts as unset, an empty
 * flag does not. Returns the new tree and a `Place` that knows which values came from where.
 */
export function applyOverrides(value: unknown, place: Place, env: Environment, flags: FlagValues) {
  const origins = new Map<string, string>()
  let tree = value
  for (const override of OVERRIDES) {
    const fromEnv = override.env === undefined ? undefined : env[override.env] || undefined
    const given = flags[override.flag] ?? fromEnv
    if (given === undefined) continue
    const changed = withValue(tree, override.key, convert[override.kind](given))
    if (changed === undefined) continue
    tree = changed
    const origin = flags[override.flag] === undefined ? String(override.env) : `--${override.flag}`
    origins.set(override.key.join('.'), `from ${origin}`)
  }
  const overridden = (path: KeyPath): string | undefined => {
    for (let length = path.length; length > 0; length--) {
      const origin = origins.get(path.slice(0, length).join('.'))
      if (origin !== undefined) return origin
    }
    return undefined
  }
  const combined: Place = {
    where: (path) => overridden(path) ?? place.where(path),
    whereKey: (path) => overridden(path) ?? place.whereKey(path),
  }
  return { value: tree, place: combined }
}

/** A copy of the tree with one value replaced; undefined if something on the way is no mapping (reported elsewhere). */
function withValue(tree: unknown, key: readonly string[], value: unknown): unknown {
  const [step, ...rest] = key
  if (step === undefined) return value
  if (tree === undefined || tree === null) return withValue({}, key, value)
  if (typeof tree !== 'object' || Array.isArray(tree)) return undefined
  const parent = tree as Record<string, unknown>
  const child = withValue(Object.hasOwn(parent, step) ? parent[step] : undefined, rest, value)
  return child === undefined ? undefined : { ...parent, [step]: child }
}

const convert = {
  text: (given: string): unknown => given,
  // What is no number stays text, so that the schema's message shows it as it was given.
  number: (given: string): unknown => (/^\d+$/u.test(given) ? Number(given) : given),
  list: (given: string): unknown => items(given),
  services: (given: string): unknown =>
    items(given).map((item) => {
      const [protocol, port, ...rest] = item.split('/')
      return port !== undefined && rest.length === 0 ? { protocol, port: convert.number(port) } : item
    }),
} satisfies Record<Override['kind'], (given: string) => unknown>

function items(given: string): string[] {
  return given
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}
