/**
 * Every check in one command, here and in CI: types, lint, format, unused code, build, then all tests. A check that is
 * no test runner counts as one; the last line sums up what was counted.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

interface Tally {
  passed: number
  failed: number
  skipped: number
}

/** What we read of vitest's JSON report. */
interface VitestReport {
  numPassedTests: number
  numFailedTests: number
  numPendingTests: number
  numTodoTests: number
  success: boolean
}

const CHECKS: readonly (readonly [name: string, command: string, ...args: string[]])[] = [
  ['types', 'tsc', '--noEmit'],
  ['lint', 'oxlint', '--type-aware'],
  ['format', 'prettier', '--check', '--log-level', 'warn', '.'],
  ['unused code', 'knip'],
  ['build', 'npm', 'run', '--silent', 'build'],
]
const PROJECTS = ['unit', 'kernel'] as const

function run(name: string, command: string, args: readonly string[]): boolean {
  console.log(`\n── ${name}`)
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' })
  if (error !== undefined) console.error(`${command}: ${error.message}`)
  return status === 0
}

function runProject(project: string, directory: string): Tally {
  const file = join(directory, `${project}.json`)
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`]
  const ok = run(`${project} tests`, 'vitest', ['run', '--project', project, ...reporters])
  try {
    const report = JSON.parse(readFileSync(file, 'utf8')) as VitestReport
    const counted = {
      passed: report.numPassedTests,
      failed: report.numFailedTests,
      skipped: report.numPendingTests + report.numTodoTests,
    }
    // A file that cannot be loaded fails without a failed test; it must not go unnoticed.
    return ok || counted.failed > 0 ? counted : { ...counted, failed: 1 }
  } catch {
    return { passed: 0, failed: 1, skipped: 0 }
  }
}

function main(): number {
  const total: Tally = { passed: 0, failed: 0, skipped: 0 }
  for (const [name, command, ...args] of CHECKS) {
    if (run(name, command, args)) total.passed++
    else total.failed++
  }
  const directory = mkdtempSync(join(tmpdir(), 'dpr-test-'))
  try {
    for (const project of PROJECTS) {
      const tally = runProject(project, directory)
      total.passed += tally.passed
      total.failed += tally.failed
      total.skipped += tally.skipped
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
  const skipped = total.skipped === 0 ? '' : `, ${total.skipped} skipped`
  console.log(`\n${total.passed} passed, ${total.failed} failed${skipped}`)
  return total.failed === 0 ? 0 : 1
}

process.exitCode = main()
