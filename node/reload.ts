/**
 * What a running daemon takes over from its configuration at SIGHUP: the cluster keys and the list of allowed nodes.
 * All or nothing: with anything wrong, what was in force stays in force. Every other key needs a restart, and is named
 * if it has changed.
 */
import { readClusterKeys, type ClusterKeys } from './cluster-keys.ts'
import type { Config } from './config-schema.ts'

export interface Reloaded {
  config: Config
  keys: ClusterKeys
  /** Other keys that have changed, and count from the next start on: `policy`, `gossip.port`. */
  needRestart: string[]
}

const AT_RUNTIME = new Set(['clusterKeyFile', 'gossip.allow', 'gossip.otherClusterKeyFiles'])

/**
 * @param read reads the configuration anew
 * @throws NodeError for a configuration or a key file that is wrong
 */
export function reread(current: Config, read: () => Config): Reloaded {
  const config = read()
  const keys = readClusterKeys(config)
  const [before, after] = [standing(current), standing(config)]
  const names = new Set([...Object.keys(before), ...Object.keys(after)])
  const needRestart = [...names].filter((key) => JSON.stringify(before[key]) !== JSON.stringify(after[key]))
  return { config, keys, needRestart }
}

/** The configuration without what can be changed at runtime: by top-level key, the gossip section by key. */
function standing({ gossip, ...rest }: Config): Record<string, unknown> {
  const top = Object.entries(rest).filter(([key]) => !AT_RUNTIME.has(key))
  const nested = Object.entries(gossip).map(([key, value]) => [`gossip.${key}`, value] as const)
  return Object.fromEntries([...top, ...nested.filter(([key]) => !AT_RUNTIME.has(key))])
}
