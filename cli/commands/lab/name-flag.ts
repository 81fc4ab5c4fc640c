/** The flag that tells labs apart; every lab command takes it. */
import { Flags } from '@oclif/core'

export const nameFlag = Flags.string({ summary: 'name of the lab; several run side by side', default: 'lab' })
