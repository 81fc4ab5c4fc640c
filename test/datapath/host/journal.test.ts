import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openJournal } from '../../../datapath/host/journal.ts'
import { takeHostLock } from '../../../datapath/host/lock.ts'

let directory = ''
let voided: string[] = []
const openIt = () => openJournal(directory, 'dpr0', (why) => voided.push(why))
const file = () => join(directory, 'host.json')

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'dpr-journal-'))
  voided = []
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

it('is no file before the first change, outlives its writer, and is gone when nothing is left', async () => {
  const journal = await openIt()
  expect(existsSync(file())).toBe(false)
  await journal.record((draft) => void draft.addresses.push('10.1.0.101'))
  expect((await openIt()).entries.addresses).toEqual(['10.1.0.101'])
  expect(statSync(file()).mode & 0o777).toBe(0o600)
  await journal.discard()
  expect(existsSync(file())).toBe(false)
  expect(journal.entries.addresses).toEqual([])
  await journal.discard()
})

it('a change whose write fails is not taken as made', async () => {
  const journal = await openIt()
  rmSync(directory, { recursive: true })
  writeFileSync(directory, 'a file where the directory was')
  await expect(journal.record((draft) => void draft.addresses.push('10.1.0.101'))).rejects.toMatchObject({
    code: 'E_JOURNAL',
  })
  expect(journal.entries.addresses).toEqual([])
})

it.each([
  ['another boot', { bootId: '00000000-0000-0000-0000-000000000000' }, /boot/],
  ['another network namespace', { namespace: 'net:[1]' }, /namespace/],
])('of %s is void', async (_name, change, why) => {
  const journal = await openIt()
  await journal.record((draft) => void draft.addresses.push('10.1.0.101'))
  writeFileSync(file(), JSON.stringify({ ...(JSON.parse(readFileSync(file(), 'utf8')) as object), ...change }))
  expect((await openIt()).entries.addresses).toEqual([])
  expect(voided).toEqual([expect.stringMatching(why)])
})

it.each<[string, (entries: Record<string, unknown>) => unknown]>([
  ['cut off', (entries) => JSON.stringify(entries).slice(0, 50)],
  ['empty', () => ''],
  ['of a later version', (entries) => JSON.stringify({ ...entries, version: 2 })],
  ['with a command for an interface', (entries) => JSON.stringify({ ...entries, device: '$(reboot)' })],
  [
    'with a sysctl that is not ours',
    (entries) => JSON.stringify({ ...entries, sysctls: [{ key: 'kernel/core_pattern', before: 0, ours: 1 }] }),
  ],
  ['with init as guard', (entries) => JSON.stringify({ ...entries, guard: { pid: 1, startTicks: 0 } })],
])('%s is refused, and left for the operator to see', async (_name, damage) => {
  await (await openIt()).record((draft) => void draft.addresses.push('10.1.0.101'))
  const damaged = String(damage(JSON.parse(readFileSync(file(), 'utf8')) as Record<string, unknown>))
  writeFileSync(file(), damaged)
  await expect(openIt()).rejects.toMatchObject({ code: 'E_JOURNAL', remedy: expect.stringMatching(/48101/) as string })
  expect(readFileSync(file(), 'utf8')).toBe(damaged)
})

it('the lock has one holder, and the next when that lets go', () => {
  const lock = takeHostLock(directory)
  expect(() => takeHostLock(directory)).toThrow(expect.objectContaining({ code: 'E_HOST_BUSY' }))
  lock.release()
  takeHostLock(directory).release()
})
