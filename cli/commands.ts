/**
 * Every command of `dpr` and the module that holds it. Nothing is imported until it is needed, so that a command which
 * only asks a daemon loads neither libp2p nor the datapath.
 */
import type { Command } from '@oclif/core'

/** Colons separate the words of an id. */
export const COMMANDS: Readonly<Record<string, () => Promise<{ default: Command.Class }>>> = {
  init: () => import('./commands/init.ts'),
  'node:start': () => import('./commands/node/start.ts'),
  peers: () => import('./commands/peers.ts'),
  status: () => import('./commands/status.ts'),
  simulate: () => import('./commands/simulate.ts'),
  'lab:up': () => import('./commands/lab/up.ts'),
  'lab:down': () => import('./commands/lab/down.ts'),
  'lab:status': () => import('./commands/lab/status.ts'),
  'lab:exec': () => import('./commands/lab/exec.ts'),
  'lab:demo': () => import('./commands/lab/demo.ts'),
}

export const TOPICS = {
  node: { description: 'Run the daemon on this host.' },
  lab: { description: 'Run a whole cluster in network namespaces on this machine.' },
}
