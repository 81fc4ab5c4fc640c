/**
 * Runs the host's own tools (ip, tc, nft). They are the interface that every distribution keeps stable, and an operator
 * can repeat by hand what he finds in our logs. No shell is involved: arguments go as an array, batches through stdin,
 * so nothing in a name or an address can be taken for a command.
 */
import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { DatapathError } from '../errors.ts'

export type Tool = 'ip' | 'tc' | 'nft'

/** Longer than any of these takes even on a starved host; a tool that hangs must not hang the daemon's start. */
const COMMAND_TIMEOUT_MS = 5_000
/** A listing of some 50,000 filters of somebody else; beyond it the command fails instead of eating memory. */
const OUTPUT_CHARACTERS_MAX = 32 * 1_024 * 1_024
/** Where the tools live although an unprivileged login's PATH does not name it. */
const SYSTEM_DIRECTORIES = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin']

const TOOLS = {
  ip: { code: 'E_TOOL_MISSING_IP', debianPackage: 'iproute2' },
  tc: { code: 'E_TOOL_MISSING_TC', debianPackage: 'iproute2' },
  nft: { code: 'E_TOOL_MISSING_NFT', debianPackage: 'nftables' },
} as const

export interface Commands {
  /** The directories that are searched, in PATH form; children that run the same tools use it too. */
  readonly path: string
  /**
   * Runs a tool to its end and returns its output.
   * @param input goes to its stdin, for `-batch -` and `-f -`.
   * @throws DatapathError E_TOOL_MISSING_* or E_HOST_COMMAND with the tool's own words.
   */
  run(tool: Tool, args: readonly string[], input?: string): Promise<string>
  /** @throws DatapathError E_TOOL_MISSING_* for the first tool that cannot be executed. */
  requireAll(): Promise<void>
}

/** The PATH of this process plus the system directories. */
export function systemPath(): string {
  const own = (process.env['PATH'] ?? '').split(delimiter).filter((directory) => directory.startsWith('/'))
  return [...new Set([...own, ...SYSTEM_DIRECTORIES])].join(delimiter)
}

export function createCommands(path: string = systemPath()): Commands {
  const found = new Map<Tool, string>()

  async function locate(tool: Tool): Promise<string> {
    const known = found.get(tool)
    if (known !== undefined) return known
    for (const directory of path.split(delimiter)) {
      const file = join(directory, tool)
      const executable = await access(file, constants.X_OK).then(
        () => true,
        () => false,
      )
      if (!executable) continue
      found.set(tool, file)
      return file
    }
    throw toolMissing(tool, path)
  }

  return {
    path,
    async run(tool, args, input) {
      return execute(tool, await locate(tool), args, path, input)
    },
    async requireAll() {
      for (const tool of ['ip', 'tc', 'nft'] as const) await locate(tool)
    },
  }
}

function toolMissing(tool: Tool, path: string, cause?: unknown): DatapathError {
  const { code, debianPackage } = TOOLS[tool]
  return new DatapathError(
    code,
    `the command ${tool} was not found in ${path}`,
    `Install the package ${debianPackage}: apt install ${debianPackage}`,
    cause,
  )
}

function execute(tool: Tool, file: string, args: readonly string[], path: string, input?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    // In a session of its own: Ctrl-C goes to the whole foreground group and must not end a tool half-way.
    const child = spawn(file, args, {
      detached: true,
      timeout: COMMAND_TIMEOUT_MS,
      killSignal: 'SIGKILL',
      env: { PATH: path, LC_ALL: 'C' },
      cwd: '/',
      stdio: 'pipe',
    })
    const output = { stdout: '', stderr: '' }
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].setEncoding('utf8').on('data', (text: string) => {
        output[stream] += text
        if (output[stream].length > OUTPUT_CHARACTERS_MAX) child.kill('SIGKILL')
      })
    }
    child.on('error', (error) => {
      const missing = 'code' in error && error.code === 'ENOENT'
      reject(missing ? toolMissing(tool, path, error) : commandFailed(tool, args, input, '', error.message))
    })
    child.on('close', (code, signal) => {
      if (code === 0) return resolve(output.stdout)
      const reason = child.killed
        ? `no end within ${COMMAND_TIMEOUT_MS} ms and ${OUTPUT_CHARACTERS_MAX} characters`
        : output.stderr.trim().replaceAll(/\s*\n\s*/g, '; ') || `it ended with ${signal ?? code}`
      reject(commandFailed(tool, args, input, output.stderr, reason))
    })
    // A tool that stops at its first bad line closes its stdin early; its exit code says so, not our broken pipe.
    child.stdin.on('error', () => undefined)
    child.stdin.end(input ?? '')
  })
}

function commandFailed(
  tool: Tool,
  args: readonly string[],
  input: string | undefined,
  stderr: string,
  reason: string,
): DatapathError {
  const batchLine = Number(/Command failed -:(\d+)/.exec(stderr)?.[1])
  const line = Number.isInteger(batchLine) ? input?.split('\n')[batchLine - 1] : undefined
  return new DatapathError(
    'E_HOST_COMMAND',
    `${tool} ${line ?? args.join(' ')}: ${reason}`,
    'The reason is in the words of the tool itself; the same command can be repeated by hand. Often the kernel lacks a ' +
      'module (sch_ingress, cls_u32, act_mirred, nf_tables), or another program has just changed the same thing.',
  )
}
