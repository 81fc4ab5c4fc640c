/** The reference names every key, variable, flag and command that there is, and none that there is not. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { COMMANDS } from '../../cli/commands.ts'
import { OVERRIDES } from '../../node/config-overrides.ts'
import { configSchema } from '../../node/config-schema.ts'
import { parseConfig } from '../../node/config.ts'

const DOCS = join(import.meta.dirname, '../../docs/reference')
const configDoc = readFileSync(join(DOCS, 'config.md'), 'utf8')
const cliDoc = readFileSync(join(DOCS, 'cli.md'), 'utf8')

describe('config.md', () => {
  const section = configDoc.slice(configDoc.indexOf('## Keys'), configDoc.indexOf('## Rules'))
  const rows = [...section.matchAll(/^\| `([^`]+)` \| (.*?) \| (.*?) \|/gmu)]

  test('has a row for every key of the schema and no other', () => {
    const documented = rows.map(([, key]) => key!)
    const leaves = schemaKeys(configSchema, '')
    expect(documented.toSorted()).toEqual(leaves.toSorted())
  })

  test('states the defaults that hold', () => {
    const config = parseConfig(
      'name: h1\nnodeAddress: 10.1.0.1\npublishedRanges: [10.1.0.96/28]\nservices: [{ protocol: tcp, port: 80 }]\n',
      'minimal',
    )
    const stated = rows.filter(([, key, , text]) => text!.startsWith('`') && !key!.includes('[]'))
    expect(stated.length).toBeGreaterThan(15)
    for (const [, key, , text] of stated) {
      const value = key!.split('.').reduce<unknown>((at, step) => (at as Record<string, unknown>)[step], config)
      expect(`${key} ${typeof value === 'string' ? value : JSON.stringify(value)}`).toBe(`${key} ${text!.slice(1, -1)}`)
    }
  })

  test('has an example that is valid and shows every section', () => {
    const [, example] = /```yaml\n([^`]*)```/u.exec(configDoc)!
    expect(Object.keys(parseConfig(example!, 'config.md'))).toHaveLength(Object.keys(configSchema.shape).length)
    for (const key of Object.keys(configSchema.shape)) expect(example).toMatch(new RegExp(`^${key}:`, 'mu'))
  })

  test('has a row for every variable', () => {
    for (const { env, flag, key } of OVERRIDES) {
      if (env === undefined) continue
      const row = configDoc.split('\n').find((line) => line.startsWith(`| \`${env}\``))
      expect(row).toContain(`\`--${flag}\``)
      expect(row).toContain(`\`${key.join('.')}\``)
    }
  })
})

describe('cli.md', () => {
  const ours = Object.entries(COMMANDS).filter(([id]) => !id.startsWith('lab:'))

  test.each(Object.keys(COMMANDS))('names %s', (id) => {
    expect(cliDoc).toContain(`dpr ${id.replaceAll(':', ' ')}\``)
  })

  test('names every flag of the commands it describes, and no other', async () => {
    const flags = new Set<string>()
    for (const [, load] of ours) {
      for (const flag of Object.keys((await load()).default.flags)) flags.add(`--${flag}`)
    }
    const documented = [...cliDoc.matchAll(/^\| `(--[a-z-]+)/gmu)].map((match) => match[1]!)
    expect([...new Set(documented)].toSorted()).toEqual([...flags].toSorted())
  })
})

/** `gossip.port`, `services`, `services[].port`: every leaf, and every list of mappings itself. */
function schemaKeys(schema: unknown, prefix: string): string[] {
  let bare = schema
  while (bare instanceof z.ZodDefault || bare instanceof z.ZodPrefault || bare instanceof z.ZodOptional) {
    bare = bare.unwrap()
  }
  if (bare instanceof z.ZodObject) {
    return Object.entries(bare.shape).flatMap(([key, child]) =>
      schemaKeys(child, prefix === '' ? key : `${prefix}.${key}`),
    )
  }
  const items =
    bare instanceof z.ZodArray && bare.element instanceof z.ZodObject ? schemaKeys(bare.element, `${prefix}[]`) : []
  return [prefix, ...items]
}
