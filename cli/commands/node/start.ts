/** `dpr node start`: the daemon, in the foreground. */
import { Command, Flags } from '@oclif/core'
import { overrideFlags, overrideValues } from '../../override-flags.ts'

export default class NodeStart extends Command {
  static override summary = 'Run the daemon on this host, in the foreground.'
  static override description =
    'Reads the configuration file, lays environment variables and then flags over it, checks everything, and runs ' +
    'until it is told to stop (SIGTERM, SIGINT). SIGHUP makes it read the cluster keys and the list of allowed nodes ' +
    'again; if it was started at a terminal, SIGHUP ends it.'
  static override examples = ['<%= config.bin %> node start', '<%= config.bin %> node start --config ./h1.yaml']
  static override flags = {
    config: Flags.string({ summary: 'configuration file [env: DPR_CONFIG]', helpValue: 'PATH' }),
    ...overrideFlags('start'),
  }

  override async run(): Promise<void> {
    const { flags } = await this.parse(NodeStart)
    const { loadConfig } = await import('../../../node/config.ts')
    const read = () => loadConfig({ file: flags.config, env: process.env, flags: overrideValues('start', flags) })
    const config = read()
    const { runDaemon } = await import('../../../node/daemon.ts')
    await runDaemon(config, read)
  }
}
