/** Runs the real `dpr` of this checkout, as a user would. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'

const DPR = join(import.meta.dirname, '../../cli/dpr')
const TIMEOUT_MS = 20_000

export interface DprResult {
  exitCode: number
  stdout: string
  /** Lines, without the final newline. */
  stderr: string[]
}

/** @param env the only variables besides PATH that the command sees */
export function runDpr(args: readonly string[], env: Record<string, string> = {}): Promise<DprResult> {
  return new Promise((resolve, reject) => {
    const options = { env: { PATH: process.env['PATH'], ...env }, timeout: TIMEOUT_MS }
    execFile(DPR, [...args], options, (error, stdout, stderr) => {
      const exitCode = error === null ? 0 : error.code
      if (typeof exitCode !== 'number') reject(error ?? new Error('no exit code'))
      else resolve({ exitCode, stdout, stderr: stderr.split('\n').filter((line) => line !== '') })
    })
  })
}
