/**
 * `dpr init`: writes a configuration file and, on the cluster's first host, a cluster key. Flags are checked as the
 * configuration's own keys before anything is written.
 */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Command, Flags } from '@oclif/core'
import { generateClusterKey, readClusterKeyFile } from '../../node/cluster-key-file.ts'
import { parseConfig } from '../../node/config.ts'
import type { Config } from '../../node/config.ts'
import type { FlagValues } from '../../node/config-overrides.ts'
import { makeDirectory } from '../../node/directory.ts'
import { NodeError } from '../../node/errors.ts'
import { contains, coveringBlock, formatBlock, parseAddress, parseBlock } from '../../node/ipv4.ts'
import { writeFileAtomic } from '../../node/atomic-file.ts'
import { PLACEHOLDER_RANGES, hasPlaceholder, renderConfig } from '../config-template.ts'
import { guessName, guessNodeAddress } from '../guesses.ts'
import { overrideFlags, overrideValues } from '../override-flags.ts'

export default class Init extends Command {
  static override summary = 'Write a commented configuration file and a cluster key.'
  static override description =
    'On the first host of a cluster this makes the cluster key. On every other host, copy cluster.key into the ' +
    'directory first: a key that is there is checked and kept. With --force both files are written anew; a new key ' +
    'must then go to every host.'
  static override examples = [
    '<%= config.bin %> init --published 10.1.0.101 --published-ranges 10.1.0.96/28 --seeds 10.1.0.2:7600',
  ]
  static override flags = {
    dir: Flags.string({ summary: 'directory of the two files', helpValue: 'PATH', default: '/etc/dpr' }),
    force: Flags.boolean({ summary: 'replace files that are there' }),
    ...overrideFlags('init'),
  }

  override async run(): Promise<void> {
    const { flags } = await this.parse(Init)
    const dir = resolve(flags.dir)
    const configFile = join(dir, 'config.yaml')
    const keyFile = join(dir, 'cluster.key')
    const config = configFrom(keyFile, overrideValues('init', flags))
    const text = renderConfig(config)
    // What is written must be what the daemon will read.
    parseConfig(text, configFile)

    if (!flags.force && existsSync(configFile)) {
      throw new NodeError('E_FILE_EXISTS', `${configFile} is there already; nothing was written`)
    }
    const keepKey = !flags.force && existsSync(keyFile)
    if (keepKey) readClusterKeyFile(keyFile)
    makeDirectory(dir, 0o755)
    if (!keepKey) writeFileAtomic(keyFile, generateClusterKey(), { mode: 0o600, exclusive: !flags.force })
    writeFileAtomic(configFile, text, { mode: 0o644, exclusive: !flags.force })

    this.log(`${configFile} written: look through it, then dpr node start`)
    this.log(keepKey ? `${keyFile} kept` : `${keyFile} written: copy it to every other host, mode 0600`)
    if (hasPlaceholder(config)) this.log('publishedRanges holds a placeholder: put your own block there first')
  }
}

/** @throws NodeError E_CONFIG_INVALID that names the flag, or the guess, that is wrong */
function configFrom(clusterKeyFile: string, flags: FlagValues): Config {
  const nodeAddress = flags['node-address'] ?? guessNodeAddress()
  if (nodeAddress === undefined) {
    throw new NodeError('E_USAGE', 'this host has no IPv4 address but loopback', { remedy: 'name one: --node-address' })
  }
  const guesses = {
    name: guessName(),
    nodeAddress,
    clusterKeyFile,
    publishedRanges: [rangeOf(flags['published'], nodeAddress)],
    services: [{ protocol: 'tcp', port: 80 }],
  }
  return parseConfig(JSON.stringify(guesses), 'guess', {}, flags)
}

/** The smallest block that holds the node's own published addresses; other nodes' may need a larger one. */
function rangeOf(published: string | undefined, nodeAddress: string): string {
  const addresses = (published ?? '').split(',').map((text) => parseAddress(text.trim()))
  const known = addresses.filter((address) => address !== undefined)
  if (known.length > 0) return formatBlock(coveringBlock(known))
  const own = parseAddress(nodeAddress)
  const isFree = (range: string): boolean => own === undefined || !contains(parseBlock(range)!, own)
  return PLACEHOLDER_RANGES.find(isFree)!
}
