/**
 * A server at 100 % CPU must not starve failure detection: the daemon takes precedence over ordinary processes. On
 * Linux a nice value belongs to a thread (setpriority(2)); threads that are started later inherit it.
 */
import { readdirSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'
import { errnoOf } from './errors.ts'

/** Above ordinary processes (0), below what keeps the system alive. */
const NICE = -10

/**
 * Raises every thread of this process that is not raised already, by systemd's `Nice=` say.
 * @returns why it could not, if it could not: CAP_SYS_NICE is missing in some containers, and one can live without
 */
export function raisePriority(): string | undefined {
  try {
    for (const thread of readdirSync('/proc/self/task').map(Number)) {
      if (getPriority(thread) > NICE) setPriority(thread, NICE)
    }
    return undefined
  } catch (error) {
    return errnoOf(error) ?? String(error)
  }
}
