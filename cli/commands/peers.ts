/** `dpr peers`: the members as this node sees them. */
import { Command } from '@oclif/core'
import type { PeerJson } from '../../node/control-api.ts'
import { controlGet } from '../../node/control-client.ts'
import { paint } from '../paint.ts'
import { renderPeers } from '../render-peers.ts'
import { socketFlags } from '../socket-flags.ts'

export default class Peers extends Command {
  static override summary = 'Show the members of the cluster as this node sees them.'
  static override examples = ['<%= config.bin %> peers', '<%= config.bin %> peers --json | jq -r ".[].name"']
  static override flags = socketFlags

  override async run(): Promise<void> {
    const { flags } = await this.parse(Peers)
    const peers = await controlGet<PeerJson[]>(flags.socket, '/v1/peers')
    this.log(flags.json ? JSON.stringify(peers, null, 2) : renderPeers(peers, paint))
  }
}
