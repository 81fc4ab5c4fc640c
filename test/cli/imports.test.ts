/** What makes `dpr peers` start fast is what it does not load; that can be tested without a clock. */
import { readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '../..')
/** `import … from`, `export … from`, `import '…'`; not `import type`, not `import()`. */
const STATIC_IMPORT = /^(?:import|export)\s+(?!type\b)(?:[^'"]*?\sfrom\s+)?['"]([^'"]+)['"]/gmu

/** Packages and files of ours that a module loads with itself. */
function reach(entry: string): Set<string> {
  const seen = new Set<string>()
  const visit = (path: string): void => {
    const name = relative(ROOT, path)
    if (seen.has(name)) return
    seen.add(name)
    for (const [, specifier] of readFileSync(path, 'utf8').matchAll(STATIC_IMPORT)) {
      if (specifier!.startsWith('.')) visit(resolve(dirname(path), specifier!))
      else seen.add(specifier!)
    }
  }
  visit(join(ROOT, entry))
  return seen
}

test.each(['cli/main.ts', 'cli/commands/peers.ts', 'cli/commands/status.ts', 'cli/commands/node/start.ts'])(
  '%s loads neither libp2p nor the datapath nor the daemon',
  (entry) => {
    const packages = [...reach(entry)].filter((name) => !name.startsWith('node:') && !name.endsWith('.ts'))
    expect(packages.filter((name) => name !== '@oclif/core' && name !== 'cli-table3')).toEqual([])
    const rooms = [...reach(entry)].filter((name) => /^(?:gossip|datapath|lab|policy)\//u.test(name))
    expect(rooms).toEqual([])
  },
)

test('the reader of imports sees what is there', () => {
  expect(reach('cli/main.ts')).toContain('node/errors.ts')
  expect(reach('node/log.ts')).toContain('pino')
})
