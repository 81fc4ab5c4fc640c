/**
 * Runs short commands (ip, tc, sysctl) and long ones inside a lab's namespaces, with bounded output and time. The only
 * place of this room that waits for a child's output.
 */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { LabError } from './errors.ts'

/** Output kept per stream, bytes; the oldest goes first. */
const OUTPUT_BYTES_MAX = 4 * 1024 * 1024
const TIMEOUT_MS = 30_000

export interface CommandResult {
  /** Exit code, or 128 + signal number as shells count. */
  code: number
  stdout: string
  stderr: string
}

export interface CommandOptions {
  input?: string | undefined
  /** Past it the command is killed and the result is an error; 30 s unless said otherwise. */
  timeoutMs?: number | undefined
  env?: NodeJS.ProcessEnv | undefined
  cwd?: string | undefined
}

/**
 * Runs a command to its end, whatever that is.
 * @throws LabError E_LAB_COMMAND if it cannot be started or takes too long
 */
export function run(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const [file, ...args] = argv as [string, ...string[]]
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { env: options.env ?? process.env, cwd: options.cwd, stdio: 'pipe' })
    const stdout = new Tail()
    const stderr = new Tail()
    let late = false
    const timer = setTimeout(() => {
      late = true
      child.kill('SIGKILL')
    }, timeoutMs)
    child.stdout.on('data', (chunk: Buffer) => stdout.add(chunk))
    child.stderr.on('data', (chunk: Buffer) => stderr.add(chunk))
    // A command that ends without reading its input is no error of ours; its exit code tells.
    child.stdin.on('error', () => undefined)
    child.stdin.end(options.input ?? '')
    child.on('error', (cause) => {
      clearTimeout(timer)
      const remedy = `install what provides \`${file}\`; \`npm run setup\` installs everything a lab needs`
      reject(new LabError('E_LAB_COMMAND', `cannot run ${file}: ${cause.message}`, remedy, cause))
    })
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      if (late) {
        const remedy = 'look at what it waits for; `dpr lab down` removes what it left'
        reject(new LabError('E_LAB_COMMAND', `${argv.join(' ')} took longer than ${timeoutMs} ms`, remedy))
      } else resolve({ code: exitCode(code, signal), stdout: stdout.text(), stderr: stderr.text() })
    })
  })
}

/** Like `run`, and any exit code but 0 is an E_LAB_COMMAND as well. */
export async function runOk(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const result = await run(argv, options)
  if (result.code === 0) return result.stdout
  const words = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-4).join('; ')
  const remedy = 'run it by hand to see more; `dpr lab down` removes what a failed start left'
  throw new LabError('E_LAB_COMMAND', `${argv.join(' ')} failed (${result.code}): ${words}`, remedy)
}

/** As shells count: 128 + the number of the signal that ended it. */
export function exitCode(code: number | null, signal: NodeJS.Signals | null): number {
  if (code !== null) return code
  return 128 + (signal === null ? 0 : constants.signals[signal])
}

/** `ip netns exec` replaces itself by the command, so the pid of the spawned process is the command's own. */
export function inNamespace(namespace: string, argv: readonly string[]): string[] {
  return ['ip', 'netns', 'exec', namespace, ...argv]
}

class Tail {
  #chunks: Buffer[] = []
  #bytes = 0

  add(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    while (this.#bytes > OUTPUT_BYTES_MAX && this.#chunks.length > 1) this.#bytes -= this.#chunks.shift()!.length
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString()
  }
}
