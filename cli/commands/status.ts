/** `dpr status`: what this node is doing. */
import { Command } from '@oclif/core'
import type { StatusJson } from '../../node/control-api.ts'
import { controlGet } from '../../node/control-client.ts'
import { paint } from '../paint.ts'
import { renderStatus } from '../render-status.ts'
import { socketFlags } from '../socket-flags.ts'

export default class Status extends Command {
  static override summary = 'Show what this node is doing: addresses, load, flows, warnings.'
  static override examples = ['<%= config.bin %> status', '<%= config.bin %> status --json | jq .counters']
  static override flags = socketFlags

  override async run(): Promise<void> {
    const { flags } = await this.parse(Status)
    const status = await controlGet<StatusJson>(flags.socket, '/v1/status')
    this.log(flags.json ? JSON.stringify(status, null, 2) : renderStatus(status, paint))
  }
}
