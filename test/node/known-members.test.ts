import { execFileSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { KnownMembers } from '../../node/known-members.ts'
import { memberOf } from './members.ts'

const DAY_MS = 86_400_000
let dir: string
let nowMs: number
const wallMs = () => nowMs
const file = () => join(dir, 'members.json')

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'dpr-known-'))
  nowMs = 1_800_000_000_000
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

async function load(): Promise<KnownMembers> {
  const [known, ignored] = await KnownMembers.load(dir, wallMs)
  expect(ignored).toBeUndefined()
  return known
}

/** What a next life would dial. */
async function remembered(): Promise<string[]> {
  return (await load()).addresses()
}

function numbered(number: number, changes: Parameters<typeof memberOf>[2] = {}) {
  const facts = { id: `id-${number}`, gossipAddress: `10.1.${number >> 8}.${number & 255}` }
  return memberOf(`m${number}`, facts, changes)
}

describe('what is kept', () => {
  test('living members, not this node, not the dead; with mode 0600 and nothing beside it', async () => {
    const known = await load()
    known.note([
      numbered(1, { self: true }),
      numbered(2),
      numbered(3, { status: 'suspect' }),
      numbered(4, { status: 'dead' }),
      numbered(5, { status: 'left' }),
    ])
    await known.save()
    expect((await remembered()).toSorted()).toEqual(['10.1.0.2:7600', '10.1.0.3:7600'])
    expect((statSync(file()).mode & 0o777).toString(8)).toBe('600')
    expect(readdirSync(dir)).toEqual(['members.json'])
  })

  test('a member that died or left since, for 30 days', async () => {
    const known = await load()
    known.note([numbered(2), numbered(3)])
    nowMs += 29 * DAY_MS
    known.note([numbered(2), numbered(3, { status: 'dead' })])
    await known.save()
    expect(await remembered()).toEqual(['10.1.0.2:7600', '10.1.0.3:7600'])
    nowMs += 2 * DAY_MS
    expect(await remembered()).toEqual(['10.1.0.2:7600'])
  })

  test('the latest address of a member, and the latest member of an address', async () => {
    const known = await load()
    known.note([memberOf('h2', { id: 'a', gossipAddress: '10.1.0.2' })])
    known.note([memberOf('h2', { id: 'a', gossipAddress: '10.1.0.9' })])
    expect(known.addresses()).toEqual(['10.1.0.9:7600'])
    known.note([memberOf('h2', { id: 'b', gossipAddress: '10.1.0.9' })])
    expect(known.addresses()).toEqual(['10.1.0.9:7600'])
    await known.save()
    expect(JSON.parse(readFileSync(file(), 'utf8'))).toMatchObject({ version: 1, members: [{ id: 'b' }] })
  })

  test('at most 2,048, those seen last', async () => {
    const known = await load()
    known.note(Array.from({ length: 1_500 }, (_, i) => numbered(i + 1)))
    nowMs += 1
    known.note(Array.from({ length: 1_500 }, (_, i) => numbered(i + 1_501)))
    await known.save()
    const addresses = await remembered()
    expect(addresses).toHaveLength(2_048)
    expect(addresses).toContain('10.1.11.184:7600')
    expect(addresses.slice(0, 1_500)).toContain('10.1.5.221:7600')
  })
})

describe('the disk', () => {
  test('is written only when there is news, or when a day has passed', async () => {
    const known = await load()
    known.note([numbered(2)])
    await known.save()
    const inode = () => statSync(file()).ino
    const first = inode()
    nowMs += DAY_MS - 1
    known.note([numbered(2)])
    await known.save()
    expect(inode()).toBe(first)
    nowMs += 1
    known.note([numbered(2)])
    await known.save()
    expect(inode()).not.toBe(first)
  })

  test('two saves at once leave one whole file', async () => {
    const known = await load()
    known.note([numbered(2)])
    const one = known.save()
    known.note([numbered(3)])
    await Promise.all([one, known.save()])
    expect(await remembered()).toHaveLength(2)
  })

  test('that cannot be written is an error with a code, and is tried again', async () => {
    const known = await load()
    known.note([numbered(2)])
    rmSync(dir, { recursive: true })
    await expect(known.save()).rejects.toMatchObject({ code: 'E_FILE_UNWRITABLE' })
    dir = mkdtempSync(join(tmpdir(), 'dpr-known-'))
    const other = await load()
    expect(other.addresses()).toEqual([])
  })

  test.each([
    ['a pipe', () => execFileSync('mkfifo', [file()])],
    ['a device without end', () => symlinkSync('/dev/zero', file())],
    ['a directory', () => mkdirSync(file())],
  ])('that has %s there instead: a reason, and the start goes on', async (_name, make) => {
    make()
    const [known, ignored] = await KnownMembers.load(dir, wallMs)
    expect(ignored).toBe(`${file()} is ignored: it is no file`)
    expect(known.addresses()).toEqual([])
  })

  test('what a killed daemon left half written is removed, and nothing else', async () => {
    writeFileSync(`${file()}.0123456789ab.tmp`, '{"vers')
    writeFileSync(`${file()}.mine`, '')
    await load()
    expect(readdirSync(dir)).toEqual(['members.json.mine'])
  })

  const good = { id: 'id-2', address: '10.1.0.2:7600', seenMs: 1 }
  const rows: [name: string, text: string][] = [
    ['nothing', ''],
    ['text', 'not json'],
    ['half a file', '{"version":1,"members":[{"id":"id-2"'],
    ['another format', JSON.stringify({ version: 2, members: [good] })],
    ['no list', JSON.stringify({ version: 1, members: 'all' })],
    ['a member without address', JSON.stringify({ version: 1, members: [{ id: 'x', seenMs: 1 }] })],
    ['a name for an address', JSON.stringify({ version: 1, members: [{ ...good, address: 'h2:7600' }] })],
    ['a port that is none', JSON.stringify({ version: 1, members: [{ ...good, address: '10.1.0.2:70000' }] })],
    ['a multicast address', JSON.stringify({ version: 1, members: [{ ...good, address: '224.0.0.1:7600' }] })],
    ['a time that is none', JSON.stringify({ version: 1, members: [{ ...good, seenMs: 'today' }] })],
    ['far too much', ' '.repeat(1_048_577)],
  ]
  test.each(rows)('that holds %s: a reason, nobody known, and the next save mends it', async (_name, text) => {
    writeFileSync(file(), text)
    const [known, ignored] = await KnownMembers.load(dir, wallMs)
    expect(ignored).toContain(`${file()} is ignored: `)
    expect(known.addresses()).toEqual([])
    known.note([numbered(2)])
    await known.save()
    expect(await remembered()).toEqual(['10.1.0.2:7600'])
  })

  test('a time in the future counts as now', async () => {
    writeFileSync(file(), JSON.stringify({ version: 1, members: [{ ...good, seenMs: nowMs + 999 * DAY_MS }] }))
    const known = await load()
    expect(known.addresses()).toEqual(['10.1.0.2:7600'])
    nowMs += 31 * DAY_MS
    known.note([])
    expect(known.addresses()).toEqual([])
  })
})
