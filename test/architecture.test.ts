/** The rooms of the house and what each may import: docs/ARCHITECTURE.md, "Rooms". */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

const ROOT = resolve(import.meta.dirname, '..')
const ROOMS = ['policy', 'gossip', 'datapath', 'node', 'cli', 'lab'] as const
type Room = (typeof ROOMS)[number]

/** Which rooms each room may import; itself always. */
const MAY_IMPORT: Readonly<Record<Room, readonly Room[]>> = {
  policy: [],
  gossip: [],
  datapath: [],
  node: ['policy', 'gossip', 'datapath'],
  lab: ['policy', 'gossip', 'datapath', 'node'],
  cli: ['node', 'lab'],
}

/** Packages that the light commands must not load. */
const HEAVY = /^(libp2p|@libp2p\/|koffi|fastify|pino)/

interface Import {
  from: string
  to: string
  typeOnly: boolean
  dynamic: boolean
}

function filesOf(directory: string): string[] {
  return readdirSync(join(ROOT, directory), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(directory, name))
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(ROOT, file), 'utf8')
  const found: Import[] = []
  for (const [, type, target] of text.matchAll(/^(?:import|export)\s+(type\s)?[^'"]*?from\s+'([^']+)'/gm)) {
    found.push({ from: file, to: target!, typeOnly: type !== undefined, dynamic: false })
  }
  for (const [, target] of text.matchAll(/^import\s+'([^']+)'/gm)) {
    found.push({ from: file, to: target!, typeOnly: false, dynamic: false })
  }
  for (const [, target] of text.matchAll(/\bimport\(\s*'([^']+)'/g)) {
    found.push({ from: file, to: target!, typeOnly: false, dynamic: true })
  }
  return found.map((entry) =>
    entry.to.startsWith('.') ? { ...entry, to: relative(ROOT, resolve(ROOT, dirname(file), entry.to)) } : entry,
  )
}

function roomOf(path: string): Room | undefined {
  return ROOMS.find((room) => path.startsWith(`${room}/`))
}

describe('rooms', () => {
  it.each(ROOMS)('%s imports only what it may', (room) => {
    const files = filesOf(room)
    expect(files.length, 'files found').toBeGreaterThan(3)
    const wrong = files
      .flatMap(importsOf)
      .filter(({ to }) => {
        const target = roomOf(to)
        return target !== undefined && target !== room && !MAY_IMPORT[room].includes(target)
      })
      .map(({ from, to }) => `${from} imports ${to}`)
    expect(wrong).toEqual([])
  })

  it('nothing imports tests', () => {
    const wrong = ROOMS.flatMap(filesOf)
      .flatMap(importsOf)
      .filter(({ to }) => to.startsWith('test/'))
    expect(wrong).toEqual([])
  })

  it('policy is pure: no package, no built-in module, no clock, no randomness', () => {
    for (const file of filesOf('policy')) {
      const foreign = importsOf(file).filter(({ to }) => roomOf(to) !== 'policy')
      expect(foreign, file).toEqual([])
      expect(readFileSync(join(ROOT, file), 'utf8'), file).not.toMatch(/Math\.random|Date\.now|performance\./)
    }
  })

  it('the command line loads nothing heavy until a command needs it', () => {
    const seen = new Set<string>()
    const queue = ['cli/main.ts']
    const wrong: string[] = []
    for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
      if (seen.has(file)) continue
      seen.add(file)
      for (const { from, to, typeOnly, dynamic } of importsOf(file)) {
        if (typeOnly) continue
        if (!dynamic && HEAVY.test(to)) wrong.push(`${from} loads ${to}`)
        const target = roomOf(to)
        // Commands are loaded lazily, yet each of them must be light itself.
        if (target !== undefined && (!dynamic || to.startsWith('cli/'))) queue.push(to)
      }
    }
    expect(seen.size).toBeGreaterThan(10)
    expect(wrong).toEqual([])
  })
})
