/**
 * The version of this package, from its package.json: beside the sources in a checkout, one level further up where the
 * compiled files in dist/ run.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export const VERSION = readVersion()

function readVersion(): string {
  const candidates = ['..', '../..'].map((up) => join(import.meta.dirname, up, 'package.json'))
  const path = candidates.find((candidate) => existsSync(candidate)) ?? candidates[0]!
  const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version: string }
  return version
}
