import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { spaced } from '../../node/spaced.ts'

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

test('a single request is done at once, a storm so often, and its last one is heeded', () => {
  let asked = 0
  let heeded = 0
  let done = 0
  const ask = spaced(500, () => {
    done++
    heeded = asked
  })
  const request = (): void => {
    asked++
    ask()
  }
  request()
  expect(done).toBe(1)
  for (let ms = 0; ms < 5_000; ms++) {
    request()
    vi.advanceTimersByTime(1)
  }
  expect(done).toBe(11)
  vi.advanceTimersByTime(500)
  expect(heeded).toBe(asked)
  const before = done
  vi.advanceTimersByTime(10_000)
  expect(done).toBe(before)
  request()
  expect(done).toBe(before + 1)
})
