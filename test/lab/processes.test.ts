/** Which process is which: /proc/PID/stat, whatever the process calls itself. */
import { expect, test } from 'vitest'
import { isAlive, parseStartTicks, processRef } from '../../lab/processes.ts'

const rest = 'S 1 7 7 0 -1 4194560 1 0 0 0 1 2 3 4 20 0 11 0 987654 1 2 3'

test.each([
  ['a plain name', `7 (node) ${rest}`, '987654'],
  ['a name with spaces and parentheses', `7 (a) S (b c) ${rest}`, '987654'],
  ['a zombie waits for its parent only', `7 (node) ${rest.replace('S', 'Z')}`, undefined],
  ['no content at all', '', undefined],
])('%s', (_, stat, expected) => {
  expect(parseStartTicks(stat)).toBe(expected)
})

test('this process lives; one with its pid and another start time does not', () => {
  const own = processRef(process.pid)!
  expect(isAlive(own)).toBe(true)
  expect(isAlive({ ...own, startTicks: '1' })).toBe(false)
})
