/** Simulates what it is asked for, one after the other, until its parent is gone. Spawned by simulation.ts. */
import { simulate } from '../../lab/simulate/simulate.ts'
import { messageOf } from './run-context.ts'
import type { FromSimulator, ToSimulator } from './simulation-messages.ts'

function say(message: FromSimulator): void {
  process.send!(message)
}

process.on('message', ({ spec }: ToSimulator) => {
  simulate(spec).then(
    (report) => say({ type: 'report', report }),
    (error: unknown) => say({ type: 'failed', message: messageOf(error) }),
  )
})
process.on('disconnect', () => process.exit())
