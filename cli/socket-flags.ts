/**
 * What every command that asks a daemon has in common: where its control socket is, and whether people or programs read
 * the answer.
 */
import { Flags } from '@oclif/core'
import { CONTROL_SOCKET_DEFAULT } from '../node/control-client.ts'

export const socketFlags = {
  json: Flags.boolean({ summary: 'print the answer of the control API as JSON' }),
  socket: Flags.string({
    summary: 'control socket of the daemon',
    helpValue: 'PATH',
    env: 'DPR_SOCKET',
    default: CONTROL_SOCKET_DEFAULT,
  }),
}
