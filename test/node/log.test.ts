import { describe, expect, test } from 'vitest'
import { createLogger, prettyLine } from '../../node/log.ts'

function collect(format: 'json' | 'pretty', level: 'info' | 'debug' = 'info') {
  const lines: string[] = []
  return { lines, log: createLogger({ level, format }, { write: (line) => lines.push(line) }) }
}

describe('the log', () => {
  test('json: one object a line, with time, level as a word, event and facts', () => {
    const { lines, log } = collect('json')
    log.warn({ event: 'member-suspect', member: 'h2', sinceMs: 1200 }, 'h2 is silent')
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(/\}\n$/u)
    expect(JSON.parse(lines[0]!)).toEqual({
      level: 'warn',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/u),
      event: 'member-suspect',
      member: 'h2',
      sinceMs: 1200,
      msg: 'h2 is silent',
    })
  })

  test('json: an error is shown with its type, message and stack', () => {
    const { lines, log } = collect('json')
    log.error({ event: 'engine-failed', error: new TypeError('bad') })
    expect(JSON.parse(lines[0]!)).toMatchObject({ error: { type: 'TypeError', message: 'bad' } })
  })

  test('lines below the level are not written', () => {
    const { lines, log } = collect('json')
    log.debug({ event: 'probe' })
    expect(lines).toEqual([])
  })

  test('pretty: one compact line', () => {
    const { lines, log } = collect('pretty', 'debug')
    log.debug({ event: 'claim', address: '10.1.0.101', epoch: 3 }, 'claimed')
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} DEBUG {2}claim {2}claimed {2}address=10\.1\.0\.101 epoch=3\n$/u)
  })

  const at = { level: 'info', time: '2026-11-22T12:00:00.123Z' }
  test.each<[name: string, fields: object, line: string]>([
    ['an event alone', { event: 'started' }, '12:00:00.123 INFO   started'],
    ['words with spaces in quotes', { why: 'no route' }, '12:00:00.123 INFO   why="no route"'],
    ['a line break stays one line', { why: 'a\nb' }, '12:00:00.123 INFO   why="a\\nb"'],
    ['a list', { to: ['a', 'b'] }, '12:00:00.123 INFO   to=["a","b"]'],
    ['an error by its message', { error: { type: 'Error', message: 'gone' } }, '12:00:00.123 INFO   error="gone"'],
  ])('pretty: %s', (_name, fields, line) => {
    expect(prettyLine({ ...at, ...fields })).toBe(line)
  })
})
