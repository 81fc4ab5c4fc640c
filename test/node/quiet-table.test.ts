import { describe, expect, test } from 'vitest'
import { QuietTable } from '../../node/quiet-table.ts'

/** The calls, by number, in which the table is looked at; `changes`: the calls before which the number of sockets changes. */
async function looks(calls: number, options: { quiet?: boolean; established?: number; changes?: number[] } = {}) {
  const { quiet = true, established = 0, changes = [] } = options
  let sockets = 0
  let asked = 0
  const table = new QuietTable(async () => {
    asked++
    return `TCP: inuse ${sockets}`
  })
  const looked: number[] = []
  for (let call = 0; call < calls; call++) {
    if (changes.includes(call)) sockets++
    if (!(await table.shouldLook(quiet))) continue
    looked.push(call)
    table.looked(established)
  }
  return { looked, asked }
}

describe('the socket table', () => {
  test('is looked at in every call while there are flows, by either count', async () => {
    expect((await looks(5, { quiet: false })).looked).toEqual([0, 1, 2, 3, 4])
    expect((await looks(5, { established: 2 })).looked).toEqual([0, 1, 2, 3, 4])
  })

  test('of a quiet host is looked at first, once more when the sockets are known, and then once a minute', async () => {
    const { looked, asked } = await looks(200)
    expect(looked).toEqual([0, 10, 70, 130, 190])
    expect(asked).toBeLessThan(25)
  })

  test('is looked at within ten calls when the number of sockets has changed', async () => {
    expect((await looks(60, { changes: [23, 41] })).looked).toEqual([0, 10, 30, 50])
  })

  test('counts sockets from the system where nobody says otherwise', async () => {
    const table = new QuietTable()
    expect(await table.shouldLook(true)).toBe(true)
    table.looked(0)
    for (let call = 0; call < 9; call++) expect(await table.shouldLook(true)).toBe(false)
    expect(await table.shouldLook(true)).toBe(true)
  })
})
