/**
 * Ends a lab, whatever state it is in: running, half built by a start that was killed, or half removed. Processes
 * first (by pid and start time, and whatever else runs inside the lab's namespaces), then namespaces, then files.
 */
import { runOk } from './command.ts'
import { LabError } from './errors.ts'
import { isAlive, processesInNamespaces, signal, waitForEnd } from './processes.ts'
import type { ProcessRef } from './processes.ts'
import { existsSync } from 'node:fs'
import { existingNamespaces, labDirectory, readState, recordedProcesses, removeState } from './state.ts'

/** A daemon gets this long to hand over and undo its changes. */
const TERM_WAIT_MS = 5_000
const KILL_WAIT_MS = 5_000

/**
 * Removes a lab by name; a name that nobody uses is no error.
 * @throws LabError E_LAB_LEFTOVERS if something survives
 */
export async function removeLab(name: string): Promise<void> {
  const processes = labProcesses(name)
  for (const ref of processes) signal(ref, 'SIGTERM')
  await waitForEnd(processes, TERM_WAIT_MS)

  const stubborn = labProcesses(name)
  for (const ref of stubborn) signal(ref, 'SIGKILL')
  await waitForEnd(stubborn, KILL_WAIT_MS)

  const namespaces = existingNamespaces(name)
  if (namespaces.length > 0) {
    // -force goes on after a failing line: another `down` may be at work on the same names.
    const lines = namespaces.map((namespace) => `netns del ${namespace}\n`).join('')
    await runOk(['ip', '-force', '-batch', '-'], { input: lines }).catch(() => undefined)
  }
  removeState(name)
  const left = leftovers(name, [...processes, ...stubborn])
  if (left.length === 0) return
  throw new LabError('E_LAB_LEFTOVERS', `the lab ${name} left ${left.join(', ')}`, 'run `dpr lab down` again')
}

/** Every living process of the lab: those it remembers, and those inside its namespaces. */
export function labProcesses(name: string): ProcessRef[] {
  const state = readState(name)
  const found = processesInNamespaces(existingNamespaces(name))
  const byPid = new Map(found.map((ref) => [ref.pid, ref]))
  for (const ref of state === undefined ? [] : recordedProcesses(state)) byPid.set(ref.pid, ref)
  return [...byPid.values()]
}

/** What is still there of a lab, in words; empty when nothing is. */
export function leftovers(name: string, processes: readonly ProcessRef[]): string[] {
  return [
    ...existingNamespaces(name).map((namespace) => `namespace ${namespace}`),
    ...processes.filter(isAlive).map((ref) => `process ${ref.pid}`),
    ...(existsSync(labDirectory(name)) ? [labDirectory(name)] : []),
  ]
}
