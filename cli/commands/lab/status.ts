/** `dpr lab status`: the hosts of a lab, what runs on them and what their daemons see. */
import { Command, Flags } from '@oclif/core'
import { nameFlag } from './name-flag.ts'
import { renderLabStatus } from './render-lab.ts'

export default class LabStatus extends Command {
  static override summary = 'Show the hosts of a lab, what runs on them and what their daemons see.'
  static override examples = ['<%= config.bin %> lab status', '<%= config.bin %> lab status --json']
  static override flags = { name: nameFlag, json: Flags.boolean({ summary: 'print it as JSON' }) }

  override async run(): Promise<void> {
    const { flags } = await this.parse(LabStatus)
    const { labOpen } = await import('../../../lab/up.ts')
    const { labStatus } = await import('../../../lab/lab-status.ts')
    const status = await labStatus(labOpen(flags.name))
    this.log(flags.json ? JSON.stringify(status) : renderLabStatus(status.hosts))
  }
}
