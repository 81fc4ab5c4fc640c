/** `dpr lab demo`: watch a cluster balance itself and lose a host, in about a minute. */
import { Command, Flags } from '@oclif/core'
import type { LabSpec } from '../../../lab/spec.ts'
import { endSignal } from './end-signal.ts'

const DATAPATHS = ['tun', 'bpf'] as const satisfies readonly LabSpec['datapath'][]

export default class LabDemo extends Command {
  static override summary = 'Watch a cluster balance itself and lose a host, in about a minute.'
  static override description =
    'Starts four hosts on two segments in network namespaces, sends HTTP requests to one published address, shows who ' +
    'serves them, cuts one host off and shows that the site goes on. Cleans up behind itself. Exit code 0 if ' +
    'everything it claims was true, 1 otherwise. Needs root.'
  static override examples = ['<%= config.bin %> lab demo']
  static override flags = {
    name: Flags.string({ summary: 'name of the lab', default: 'demo' }),
    datapath: Flags.option({ options: DATAPATHS })({ summary: 'engine of the daemons' }),
  }

  override async run(): Promise<void> {
    const { flags } = await this.parse(LabDemo)
    const { runDemo } = await import('../../../lab/demo.ts')
    const claims = await runDemo({
      name: flags.name,
      datapath: flags.datapath,
      write: (text) => void process.stdout.write(text),
      redraw: process.stdout.isTTY,
      signal: endSignal(),
    })
    const failed = claims.filter(({ held }) => !held)
    if (failed.length > 0) this.exit(1)
  }
}
