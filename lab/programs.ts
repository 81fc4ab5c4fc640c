/**
 * The programs that a lab starts, as command lines: from a checkout the TypeScript sources, from an installed package
 * the compiled files beside this one.
 */
import { existsSync } from 'node:fs'
import { dirname, extname, join } from 'node:path'

const here = import.meta.dirname
const node = [process.execPath, '--disable-warning=ExperimentalWarning'] as const

/** `lab/` lies beside `cli/` in a checkout, `dist/lab/` one deeper in a package. */
const dpr = [join(here, '..', 'cli', 'dpr'), join(here, '..', '..', 'cli', 'dpr')].find((path) => existsSync(path))

function entry(name: string): string {
  return join(here, name + extname(import.meta.filename))
}

export function daemonCommand(configFile: string): string[] {
  return [dpr ?? 'dpr', 'node', 'start', '--config', configFile]
}

export function serverCommand(shellCommand: string | undefined): string[] {
  return shellCommand === undefined ? [...node, entry('server-main')] : ['sh', '-c', shellCommand]
}

/** The arguments are those of load-main.ts. */
export function loadCommand(args: readonly string[]): string[] {
  return [...node, entry('load-main'), ...args]
}

/** The caller's environment without settings of its own DPR, which would override a host's config file. */
export function cleanEnvironment(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([key]) => !key.startsWith('DPR_'))
  const path = dpr === undefined ? process.env['PATH'] : `${dirname(dpr)}:${process.env['PATH']}`
  return { ...Object.fromEntries(kept), PATH: path, ...extra }
}
