import { expect, test } from 'vitest'
import { createLogger } from '../../node/log.ts'
import { UndoList } from '../../node/undo-list.ts'

function listWithLog(): { list: UndoList; lines: string[] } {
  const lines: string[] = []
  const log = createLogger({ level: 'info', format: 'json' }, { write: (line) => lines.push(line) })
  return { list: new UndoList(log), lines }
}

test('undoes latest first, each step once, and has nothing left to do after that', async () => {
  const { list, lines } = listWithLog()
  const done: string[] = []
  for (const what of ['lock', 'gossip', 'host']) list.add(what, () => void done.push(what))
  expect(await list.undoAll()).toEqual([])
  expect(await list.undoAll()).toEqual([])
  expect(done).toEqual(['host', 'gossip', 'lock'])
  expect(lines).toEqual([])
})

test('a step that fails once is tried again; one that keeps failing is told and does not stop the others', async () => {
  const { list, lines } = listWithLog()
  const attempts = { first: 0, wounded: 0, hopeless: 0 }
  const failure = new Error('no way')
  list.add('first', () => void attempts.first++)
  list.add('wounded', async () => {
    if (attempts.wounded++ === 0) throw new Error('hit by a signal')
  })
  list.add('hopeless', () => {
    attempts.hopeless++
    throw failure
  })
  expect(await list.undoAll()).toEqual([failure])
  expect(attempts).toEqual({ first: 1, wounded: 2, hopeless: 2 })
  expect(lines.map((line) => JSON.parse(line) as { event: string; what: string })).toMatchObject([
    { event: 'undo-failed', what: 'hopeless' },
  ])
})
