/**
 * Builds a lab, or finds one that is up. `labUp` returns a ready cluster or throws and leaves nothing behind.
 */
import { mkdirSync, openSync, readSync, closeSync, fstatSync, writeFileSync } from 'node:fs'
import { inNamespace, runOk } from './command.ts'
import { LabError } from './errors.ts'
import { hostConfig, newClusterKey } from './host-config.ts'
import { Lab } from './lab.ts'
import { processRef } from './processes.ts'
import type { NotReady } from './ready.ts'
import { checkName, labHosts, labSpec } from './spec.ts'
import type { LabSpec, LabSpecOptions } from './spec.ts'
import {
  clusterKeyFile,
  createState,
  existingNamespaces,
  hostPaths,
  isUp,
  labExists,
  readState,
  writeState,
} from './state.ts'
import type { LabState } from './state.ts'
import { leftovers, removeLab } from './teardown.ts'
import { topologyPlan } from './topology.ts'
import type { NamespacePlan, TopologyPlan } from './topology.ts'

const READY_TIMEOUT_MS = 60_000
/** Of a log that explains a failure. */
const LOG_TAIL_BYTES = 8_192
const LOG_TAIL_LINES = 20

export interface LabUpOptions extends LabSpecOptions {
  /** Hears what is being done, a line at a time; silence unless given. */
  progress?: ((line: string) => void) | undefined
  /** Ends the start; what was built is removed. */
  signal?: AbortSignal | undefined
  /** For the cluster to agree and answer, ms. */
  readyTimeoutMs?: number | undefined
}

/**
 * Builds the lab and waits until it is ready.
 * @throws LabError E_LAB_SPEC, E_LAB_NOT_ROOT, E_LAB_EXISTS, E_LAB_COMMAND, E_LAB_NOT_READY, E_LAB_INTERRUPTED
 */
export async function labUp(options: LabUpOptions = {}): Promise<Lab> {
  const { progress = () => undefined, signal, readyTimeoutMs = READY_TIMEOUT_MS, ...specOptions } = options
  const spec = labSpec(specOptions)
  requireRoot()
  await removeOldLab(spec.name, progress)
  const owner = processRef(process.pid)!
  const state: LabState = { version: 1, spec, owner, phase: 'starting', daemons: {}, servers: {} }
  createState(state)
  try {
    progress(`${labHosts(spec).length} hosts on ${spec.segments} segments: namespaces and links`)
    await buildTopology(topologyPlan(spec))
    writeHostFiles(spec)
    const lab = await startProcesses(state, progress, signal)
    const missing = await lab.waitReady(readyTimeoutMs, signal)
    if (missing !== undefined) throw notReady(lab, missing, progress)
    writeState(Object.assign(state, { phase: 'up' }))
    return lab
  } catch (cause) {
    progress('removing what was built')
    await removeLab(spec.name)
    if (signal?.aborted !== true) throw cause
    throw new LabError('E_LAB_INTERRUPTED', 'interrupted before the lab was up', 'nothing is left of it', cause)
  }
}

/**
 * Finds a lab that is up.
 * @throws LabError E_LAB_UNKNOWN
 */
export function labOpen(name: string): Lab {
  checkName(name)
  const state = readState(name)
  if (state?.phase === 'up' && isUp(state)) return new Lab(state)
  const remedy = `start it with \`dpr lab up --name ${name}\``
  throw new LabError('E_LAB_UNKNOWN', `no lab named ${name} is up`, remedy)
}

/** Ends a lab by name and removes every trace; a name that nobody uses is no error. */
export async function labDown(name: string): Promise<void> {
  checkName(name)
  requireRoot()
  await removeLab(name)
}

function requireRoot(): void {
  if (process.getuid?.() === 0) return
  throw new LabError('E_LAB_NOT_ROOT', 'a lab needs root to make network namespaces', 'run it with sudo')
}

/** Refuses a living lab of that name; removes a dead one. */
async function removeOldLab(name: string, progress: (line: string) => void): Promise<void> {
  const state = readState(name)
  if (state !== undefined && isUp(state)) throw labExists(name)
  const old = leftovers(name, [])
  if (old.length === 0 && existingNamespaces(name).length === 0) return
  progress(`removing leftovers of an earlier lab: ${old.join(', ')}`)
  await removeLab(name)
}

async function buildTopology(plan: TopologyPlan): Promise<void> {
  const batch = (lines: readonly string[]) => ({ input: `${lines.join('\n')}\n` })
  await runOk(['ip', '-batch', '-'], batch(plan.namespaces))
  const sysctl = (inside: NamespacePlan) =>
    runOk(inNamespace(inside.namespace, ['sysctl', '-qe', '-w', ...inside.sysctls]))
  await Promise.all(plan.inside.map(sysctl))
  await runOk(['ip', '-batch', '-'], batch(plan.links))
  await Promise.all(
    plan.inside.map(async (inside) => {
      await runOk(['ip', '-n', inside.namespace, '-batch', '-'], batch(inside.ip))
      if (inside.tc.length > 0) await runOk(['tc', '-n', inside.namespace, '-batch', '-'], batch(inside.tc))
    }),
  )
}

function writeHostFiles(spec: LabSpec): void {
  writeFileSync(clusterKeyFile(spec.name), newClusterKey(), { mode: 0o600 })
  for (const host of labHosts(spec)) {
    const paths = hostPaths(spec.name, host.name)
    mkdirSync(paths.work, { recursive: true, mode: 0o755 })
    for (const directory of [paths.runtime, paths.state]) mkdirSync(directory, { mode: 0o700 })
    writeFileSync(paths.config, hostConfig(spec, host), { mode: 0o600 })
  }
}

/** Servers first: a daemon that finds its server refusing would start by sending everything elsewhere. */
async function startProcesses(
  state: LabState,
  progress: (line: string) => void,
  signal: AbortSignal | undefined,
): Promise<Lab> {
  const lab = new Lab(state)
  if (lab.spec.servers) {
    progress(`servers on ${lab.hosts.length} hosts: ${lab.spec.server ?? 'the built-in web server'}`)
    for (const host of lab.hosts) await lab.startServer(host.name)
  }
  signal?.throwIfAborted()
  if (lab.spec.daemons) {
    progress(`daemons on ${lab.hosts.length} hosts: waiting until all see all and every address answers`)
    for (const host of lab.hosts) await lab.startDaemon(host.name)
  }
  return lab
}

function notReady(lab: Lab, missing: NotReady, progress: (line: string) => void): LabError {
  const log = lab.paths(missing.host).daemonLog
  progress(`the last lines of ${log}:`)
  for (const line of logTail(log)) progress(`  ${line}`)
  const remedy = 'the lines above are the last of its log; the lab is removed'
  return new LabError('E_LAB_NOT_READY', `${missing.host}: ${missing.reason}`, remedy)
}

function logTail(file: string): string[] {
  let descriptor: number
  try {
    descriptor = openSync(file, 'r')
  } catch {
    return ['(no log)']
  }
  try {
    const { size } = fstatSync(descriptor)
    const bytes = Buffer.alloc(Math.min(size, LOG_TAIL_BYTES))
    readSync(descriptor, bytes, 0, bytes.length, size - bytes.length)
    return bytes.toString().trimEnd().split('\n').slice(-LOG_TAIL_LINES)
  } finally {
    closeSync(descriptor)
  }
}
