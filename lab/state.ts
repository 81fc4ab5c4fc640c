/**
 * What a lab leaves on disk while it is up: /run/dpr-lab/<name>/state.json and a directory per host. Any process can
 * find the lab again by its name, and `down` can end what an interrupted start has left. The directory is created in
 * one rename, so two starts of one name cannot both win.
 *
 *   /run/dpr-lab/<name>/state.json        this file's LabState
 *                       cluster.key       shared by the hosts, mode 0600
 *                       h1/config.yaml    what the daemon was started with
 *                       h1/daemon.log, server.log
 *                       h1/run/           runtime directory, control.sock in it
 *                       h1/state/         the node's identity
 *                       h1/work/          the server's working directory
 */
import { mkdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LabError } from './errors.ts'
import { isAlive, namespaceNames } from './processes.ts'
import type { ProcessRef } from './processes.ts'
import type { LabSpec } from './spec.ts'
import { belongsTo, namespacesOf } from './topology.ts'

const LABS_DIRECTORY = '/run/dpr-lab'

export interface LabState {
  /** Of this file's form. */
  readonly version: 1
  readonly spec: LabSpec
  /** Who builds it; a `starting` lab without a living owner is a leftover. */
  readonly owner: ProcessRef
  phase: 'starting' | 'up'
  /** By host name. */
  daemons: Record<string, ProcessRef>
  servers: Record<string, ProcessRef>
}

export interface HostPaths {
  readonly directory: string
  readonly config: string
  readonly daemonLog: string
  readonly serverLog: string
  readonly runtime: string
  readonly socket: string
  readonly state: string
  readonly work: string
}

export function labDirectory(name: string): string {
  return join(LABS_DIRECTORY, name)
}

export function clusterKeyFile(name: string): string {
  return join(labDirectory(name), 'cluster.key')
}

export function hostPaths(labName: string, host: string): HostPaths {
  const directory = join(labDirectory(labName), host)
  return {
    directory,
    config: join(directory, 'config.yaml'),
    daemonLog: join(directory, 'daemon.log'),
    serverLog: join(directory, 'server.log'),
    runtime: join(directory, 'run'),
    socket: join(directory, 'run', 'control.sock'),
    state: join(directory, 'state'),
    work: join(directory, 'work'),
  }
}

/**
 * Takes the name. The caller has removed leftovers before.
 * @throws LabError E_LAB_EXISTS if somebody else has it
 */
export function createState(state: LabState): void {
  const { name } = state.spec
  const draft = join(LABS_DIRECTORY, `.${name}.${process.pid}`)
  rmSync(draft, { recursive: true, force: true })
  // Servers of other users must reach their working directories; what is secret has a mode of its own.
  mkdirSync(draft, { recursive: true, mode: 0o755 })
  writeFileSync(join(draft, 'state.json'), JSON.stringify(state))
  try {
    renameSync(draft, labDirectory(name))
  } catch (cause) {
    rmSync(draft, { recursive: true, force: true })
    throw labExists(name, cause)
  }
}

export function labExists(name: string, cause?: unknown): LabError {
  const remedy = `end it with \`dpr lab down --name ${name}\`, or give the new one another --name`
  return new LabError('E_LAB_EXISTS', `a lab named ${name} is up`, remedy, cause)
}

/** Written beside and renamed, so a reader never sees half of it. */
export function writeState(state: LabState): void {
  const file = join(labDirectory(state.spec.name), 'state.json')
  writeFileSync(`${file}.new`, JSON.stringify(state))
  renameSync(`${file}.new`, file)
}

/** undefined if there is none, or none that this version can read: a leftover then. */
export function readState(name: string): LabState | undefined {
  try {
    const state = JSON.parse(readFileSync(join(labDirectory(name), 'state.json'), 'utf8')) as LabState
    return state.version === 1 ? state : undefined
  } catch {
    return undefined
  }
}

export function removeState(name: string): void {
  rmSync(labDirectory(name), { recursive: true, force: true })
  try {
    rmdirSync(LABS_DIRECTORY)
  } catch {
    // Other labs are in it, or it is gone.
  }
}

/** Whether the lab is more than leftovers: being built, or with something of it running. */
export function isUp(state: LabState): boolean {
  if (state.phase === 'starting') return isAlive(state.owner)
  const processes = recordedProcesses(state)
  if (processes.length > 0) return processes.some(isAlive)
  const existing = new Set(namespaceNames())
  return namespacesOf(state.spec).every((namespace) => existing.has(namespace))
}

export function recordedProcesses(state: LabState): ProcessRef[] {
  return [...Object.values(state.daemons), ...Object.values(state.servers)]
}

/** Namespaces that carry the lab's name, whether or not its state remembers them. */
export function existingNamespaces(name: string): string[] {
  return namespaceNames().filter((namespace) => belongsTo(name, namespace))
}
