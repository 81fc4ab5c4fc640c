import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ERROR_CODES } from '../../node/error-codes.ts'
import { NodeError, errorLines, exitCodeOf } from '../../node/errors.ts'

const ROOT = join(import.meta.dirname, '../..')
const ROOMS = ['cli', 'datapath', 'gossip', 'lab', 'node', 'policy']

describe('the table of codes', () => {
  const entries = Object.entries(ERROR_CODES)

  test('gives each code an exit code of its own', () => {
    const exitCodes = entries.map(([, { exitCode }]) => exitCode)
    expect(new Set(exitCodes).size).toBe(exitCodes.length)
  })

  test.each(entries)(
    '%s: exit code, meaning and remedy have the agreed form',
    (code, { exitCode, meaning, remedy }) => {
      expect(exitCode).toBeGreaterThanOrEqual(code === 'E_INTERNAL' ? 1 : 2)
      expect(exitCode).toBeLessThan(126)
      expect(meaning).toMatch(/^[A-Z/].*\.$/u)
      expect(remedy).toMatch(/^[a-z].*[^.;]$/u)
    },
  )

  test('knows every code that any room can throw', () => {
    const used = ROOMS.flatMap((room) => sources(join(ROOT, room)))
      .flatMap((path) => [...readFileSync(path, 'utf8').matchAll(/'(E_[A-Z_]+)'/gu)])
      .map((match) => match[1]!)
    expect(used.length).toBeGreaterThan(20)
    expect([...new Set(used)].filter((code) => !(code in ERROR_CODES))).toEqual([])
  })

  test('is what docs/reference/errors.md says, row by row', () => {
    const rows = readFileSync(join(ROOT, 'docs/reference/errors.md'), 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('| `E_'))
      .map((line) =>
        line
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim()),
      )
    const expected = entries.map(([code, entry]) => [
      `\`${code}\``,
      String(entry.exitCode),
      entry.meaning,
      entry.remedy,
    ])
    expect(rows.toSorted(byExitCode)).toEqual(expected.toSorted(byExitCode))
  })
})

describe('what is printed', () => {
  class RoomError extends Error {
    readonly code = 'E_NO_TUN'
    readonly remedy = 'Load the driver.'
  }
  const plain = new TypeError('x is not a function')
  const rows: [name: string, error: unknown, exitCode: number, lines: string[]][] = [
    [
      'an error of ours, with the remedy of the table',
      new NodeError('E_NOT_ROOT', 'uid 1000 may not create devices'),
      8,
      ['dpr: E_NOT_ROOT: uid 1000 may not create devices; run it as root or with CAP_NET_ADMIN and CAP_NET_RAW'],
    ],
    ['its own remedy', new NodeError('E_USAGE', 'no', { remedy: 'try yes' }), 2, ['dpr: E_USAGE: no; try yes']],
    [
      'a line for each problem',
      new NodeError('E_CONFIG_INVALID', 'two', {
        problems: [
          { message: 'a is 1', remedy: 'use 2' },
          { message: 'b is 3', remedy: 'did you mean 4?' },
        ],
      }),
      4,
      ['dpr: E_CONFIG_INVALID: a is 1; use 2', 'dpr: E_CONFIG_INVALID: b is 3; did you mean 4?'],
    ],
    [
      'an error of another room, by its code',
      new RoomError('no such device'),
      9,
      ['dpr: E_NO_TUN: no such device; Load the driver'],
    ],
    ['a bug', plain, 1, ['dpr: E_INTERNAL: x is not a function; run again with DPR_DEBUG=1 and report what it prints']],
    [
      'a code that is not ours',
      Object.assign(new Error('open failed'), { code: 'EMFILE' }),
      1,
      ['dpr: E_INTERNAL: open failed; run again with DPR_DEBUG=1 and report what it prints'],
    ],
    ['no error at all', 'text', 1, ['dpr: E_INTERNAL: text; run again with DPR_DEBUG=1 and report what it prints']],
    [
      'one line, whatever a tool printed',
      new NodeError('E_HOST_COMMAND', 'tc failed:\nError: \n  Exclusivity flag on.\n', { remedy: 'look' }),
      26,
      ['dpr: E_HOST_COMMAND: tc failed: | Error: | Exclusivity flag on; look'],
    ],
  ]
  test.each(rows)('%s', (_name, error, exitCode, lines) => {
    expect(errorLines(error)).toEqual(lines)
    expect(exitCodeOf(error)).toBe(exitCode)
  })

  test('the cause is kept for those who ask', () => {
    expect(new NodeError('E_INTERNAL', 'm', { cause: plain }).cause).toBe(plain)
  })
})

function sources(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(directory, name))
}

function byExitCode(a: readonly string[], b: readonly string[]): number {
  return Number(a[1]) - Number(b[1])
}
