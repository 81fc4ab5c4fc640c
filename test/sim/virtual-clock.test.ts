import { expect, test } from 'vitest'
import { randomStream } from '../../lab/simulate/random.ts'
import { VirtualClock } from '../../lab/simulate/virtual-clock.ts'

test('events run by time, those of one moment in the order of scheduling: as a sorted list would have it', () => {
  const random = randomStream(3, 'clock')
  const clock = new VirtualClock()
  const expected: { atMs: number; order: number }[] = []
  const ran: { atMs: number; order: number }[] = []
  const cancels: (() => void)[] = []
  for (let order = 0; order < 5_000; order++) {
    const atMs = Math.floor(random() * 200)
    const entry = { atMs, order }
    const cancel = clock.schedule(atMs, () => ran.push({ atMs: clock.now(), order }))
    if (order % 7 === 0) cancels.push(cancel)
    else expected.push(entry)
  }
  for (const cancel of cancels) cancel()
  clock.run(1_000)
  expect(ran).toEqual(expected.toSorted((a, b) => a.atMs - b.atMs || a.order - b.order))
  expect(clock.now()).toBe(1_000)
})

test('what is scheduled while running, even for the past, runs now and after what was there', () => {
  const clock = new VirtualClock()
  const ran: string[] = []
  clock.at(10, () => {
    ran.push('first')
    clock.at(3, () => ran.push(`past, at ${clock.now()}`))
  })
  clock.at(10, () => ran.push('second'))
  clock.run(20)
  expect(ran).toEqual(['first', 'second', 'past, at 10'])
})

test('stops when the condition holds, and at the end of the time given otherwise', () => {
  const clock = new VirtualClock()
  let count = 0
  for (let i = 1; i <= 10; i++) clock.at(i * 10, () => count++)
  expect(clock.run(1_000, () => count === 4)).toBe(true)
  expect([clock.now(), count]).toEqual([40, 4])
  expect(clock.run(15, () => count === 9)).toBe(false)
  expect([clock.now(), count]).toEqual([55, 5])
})

test('streams of one seed have nothing in common, those of one seed and label everything', () => {
  const draw = (seed: number, label: string): number[] => {
    const random = randomStream(seed, label)
    return Array.from({ length: 1_000 }, random)
  }
  expect(draw(1, 'a')).toEqual(draw(1, 'a'))
  const sets = [draw(1, 'a'), draw(1, 'b'), draw(2, 'a')]
  expect(new Set(sets.flat()).size).toBe(3_000)
  for (const set of sets) expect(set.reduce((sum, value) => sum + value, 0) / 1_000).toBeCloseTo(0.5, 1)
})
