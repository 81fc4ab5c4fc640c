/** `dpr lab exec`: runs a command on a host of a lab, or on its client, router or switch. */
import { Args, Command } from '@oclif/core'
import { nameFlag } from './name-flag.ts'

export default class LabExec extends Command {
  static override summary = 'Run a command on a host of a lab.'
  static override description =
    'In the network namespace of a host (h1, h2 …), or of `client`, `router` or `switch`. On a host, `dpr` speaks to ' +
    "that host's daemon. Input, output and exit code are the command's own."
  static override usage = 'lab exec [--name NAME] HOST -- COMMAND…'
  static override examples = [
    '<%= config.bin %> lab exec client -- curl -s http://10.1.0.101/',
    '<%= config.bin %> lab exec h1 -- dpr status',
    '<%= config.bin %> lab exec switch -- ip link set h2 down',
  ]
  static override strict = false
  static override args = {
    host: Args.string({ required: true, description: 'h1, h2 …, client, router or switch' }),
  }
  static override flags = { name: nameFlag }

  override async run(): Promise<void> {
    const { args, argv, flags } = await this.parse(LabExec)
    const { labOpen } = await import('../../../lab/up.ts')
    const { runAttached } = await import('../../../lab/attached.ts')
    const command = argv.slice(1).map(String)
    this.exit(await runAttached(labOpen(flags.name), args.host, command))
  }
}
