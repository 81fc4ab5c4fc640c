/**
 * Preloaded with `--import`: kills its own process with SIGKILL just before the n-th act that leaves a trace outside of
 * it: a sysctl or journal written, the journal put in place or removed, a command, the guard's start. CRASH_AT says n; 0
 * lets it live and tell the number of its acts.
 */
import childProcess from 'node:child_process'
import fsPromises from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'

const crashAt = Number(process.env['CRASH_AT'] ?? 0)
let acts = 0

function act(): void {
  acts += 1
  if (acts === crashAt) process.kill(process.pid, 'SIGKILL')
}

type AnyFunction = (...args: unknown[]) => unknown

function interpose(owner: object, name: string): void {
  const methods = owner as Record<string, AnyFunction>
  const original = methods[name]!
  methods[name] = function interposed(this: unknown, ...args: unknown[]) {
    act()
    return original.apply(this, args)
  }
}

for (const name of ['writeFile', 'rename', 'rm']) interpose(fsPromises, name)
for (const name of ['execFile', 'spawn']) interpose(childProcess, name)
syncBuiltinESMExports()

process.on('exit', () => {
  if (crashAt === 0) process.stderr.write(`ACTS ${acts}\n`)
})
