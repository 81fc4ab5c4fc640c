/**
 * The guard: a tiny child that opens the steering when the daemon dies. A filter whose device is gone drops every frame
 * for ever; so somebody has to remove it who outlives the daemon, however that ends.
 *
 *     daemon ──stdin──▶ guard       set INTERFACES ADDRESSES   answered by "ok": from now on it knows them
 *            ◀─stdout──             done                       orderly end: exit, touch nothing
 *                                   end of file                the daemon is dead: fire
 *
 * Firing: first the nft rule that drops pure RSTs from the published addresses (nft.ts), else this host's stack resets
 * every redirected flow the moment it sees its packets; then our filters, by exact preference and kind. Then once more
 * after a moment, for a tc that the daemon started just before its death may still be adding. And then it ends at once:
 * under systemd the unit is not restarted before its last process is gone, which is why the time limit of the RST rule
 * is the kernel's and not the guard's.
 *
 * It has its own session and ignores the signals that a terminal or a service manager sends to whole groups. Its only
 * tie is the pipe, so no other process may hold the daemon's end: every descriptor of the daemon must be close-on-exec.
 * All state arrives as whole lines; half a line at the end of file is not acted on.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { DatapathError } from '../errors.ts'
import { resetTable } from './nft.ts'
import { deletePreferenceLine, PREFERENCES } from './tc.ts'

/** For an answer of the guard, or its end. Far above what a shell needs on a starved host. */
const GUARD_DEADLINE_MS = 5_000

const GUARD_SCRIPT = `
trap '' HUP INT QUIT TERM PIPE ALRM USR1 USR2 TSTP TTIN TTOU
interfaces= addresses=
while read -r word first second; do
  case $word in
    set) interfaces=$first addresses=$second; echo ok ;;
    done) exit 0 ;;
  esac
done
limit=
timeout --foreground 1 true && limit='timeout --foreground 2'
case $addresses in
  [0-9]*) printf '${resetTable('%s').replaceAll('\n', String.raw`\n`)}' "$addresses" | $limit nft -f - ;;
esac
IFS=,
open() {
  for interface in $interfaces; do
    printf '${PREFERENCES.map((preference) => `${deletePreferenceLine('%s', preference)}\\n`).join('')}' ${PREFERENCES.map(() => '"$interface"').join(' ')}
  done | tc -force -batch -
}
open
sleep 0.2
open
`

/** A guard process, told from a later one with the same pid by its start time in clock ticks since boot. */
export interface GuardIdentity {
  pid: number
  startTicks: number
}

/** What the guard acts on when it fires. Names and addresses have been validated: they go into a shell's input. */
export interface GuardOrders {
  interfaces: readonly string[]
  addresses: readonly string[]
}

export interface Guard {
  /** Starts the guard if none runs, and returns once it knows the orders. Calls must not overlap. */
  arm(orders: GuardOrders): Promise<GuardIdentity>
  /** Sends the guard away without effect; returns when it is gone. Idempotent. */
  disarm(): Promise<void>
}

/**
 * @param path PATH of the tools.
 * @param onLost called when an armed guard ends unasked; the owner arms again.
 */
export function createGuard(path: string, onLost: () => void): Guard {
  let child: ChildProcess | undefined

  async function start(): Promise<ChildProcess> {
    const started = spawn('/bin/sh', ['-c', GUARD_SCRIPT, 'dpr-guard'], {
      detached: true,
      cwd: '/',
      env: { PATH: path, LC_ALL: 'C' },
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    started.stdin.on('error', () => undefined)
    await once(started, 'spawn').catch((error: Error) => {
      throw guardError('cannot start /bin/sh', error)
    })
    // It must not keep a daemon alive that has nothing else to do.
    started.unref()
    for (const pipe of [started.stdin, started.stdout])
      if (pipe !== null && 'unref' in pipe) (pipe.unref as () => void)()
    started.once('exit', () => {
      if (child !== started) return
      child = undefined
      onLost()
    })
    child = started
    return started
  }

  return {
    async arm({ interfaces, addresses }) {
      const armed = child ?? (await start())
      const answer = answerOf(armed)
      armed.stdin!.write(`set ${interfaces.join(',') || '-'} ${addresses.join(',') || '-'}\n`)
      await answer
      return { pid: armed.pid!, startTicks: (await startTicksOf(armed.pid!)) ?? 0 }
    },
    async disarm() {
      const dismissed = child
      if (dismissed === undefined) return
      child = undefined
      const gone = once(dismissed, 'exit')
      dismissed.stdin!.end('done\n')
      const overdue = setTimeout(() => dismissed.kill('SIGKILL'), GUARD_DEADLINE_MS)
      await gone
      clearTimeout(overdue)
    },
  }
}

/** Resolves at the next line of the guard, rejects at its end or at the deadline. */
async function answerOf(child: ChildProcess): Promise<void> {
  const settled = new AbortController()
  // Referenced, so that waiting keeps the process alive although the pipes do not.
  const deadline = setTimeout(() => settled.abort(), GUARD_DEADLINE_MS)
  try {
    const { signal } = settled
    const line = once(child.stdout!, 'data', { signal }).then(() => true)
    const ended = once(child, 'exit', { signal }).then(() => false)
    if (!(await Promise.race([line, ended]))) throw new Error('it ended')
  } catch (error) {
    throw guardError('the guard did not answer', error as Error)
  } finally {
    clearTimeout(deadline)
    settled.abort()
  }
}

/**
 * Ends the guard of a daemon that is dead, with whatever it is just running, before a new daemon steers: it would
 * remove the new filters. Its session is its process group. Does nothing if that process is gone already.
 */
export async function endForeignGuard({ pid, startTicks }: GuardIdentity): Promise<void> {
  if ((await startTicksOf(pid)) !== startTicks) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    return // gone between the two looks
  }
  const deadline = performance.now() + GUARD_DEADLINE_MS
  while ((await startTicksOf(pid)) === startTicks) {
    if (performance.now() > deadline) throw guardError(`the guard of the last daemon (pid ${pid}) does not end`)
    await delay(5)
  }
}

/** Field 22 of /proc/PID/stat; undefined if there is no such process or it is a zombie. */
async function startTicksOf(pid: number): Promise<number | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  // The command in parentheses may hold spaces and parentheses; what follows the last one starts with field 3.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (stat === '' || fields[0] === 'Z') return undefined
  return Number(fields[19])
}

function guardError(message: string, cause?: Error): DatapathError {
  return new DatapathError(
    'E_GUARD',
    cause === undefined ? message : `${message}: ${cause.message}`,
    'The guard is a /bin/sh child of the daemon. Without it nothing is steered, because steering must open when the ' +
      'daemon dies. Look for limits on processes (ulimit -u, TasksMax).',
    cause,
  )
}
