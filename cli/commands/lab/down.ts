/** `dpr lab down`: ends a lab and removes every trace of it. */
import { Command } from '@oclif/core'
import { nameFlag } from './name-flag.ts'

export default class LabDown extends Command {
  static override summary = 'End a lab and remove every trace of it.'
  static override description =
    'Ends its processes, deletes its namespaces and files; also what a start that was killed has left. A lab that is ' +
    'not there is no error.'
  static override examples = ['<%= config.bin %> lab down', '<%= config.bin %> lab down --name big']
  static override flags = { name: nameFlag }

  override async run(): Promise<void> {
    const { flags } = await this.parse(LabDown)
    const { labDown } = await import('../../../lab/up.ts')
    await labDown(flags.name)
    this.logToStderr(`nothing is left of the lab ${flags.name}`)
  }
}
