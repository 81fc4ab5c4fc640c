import { expect, test } from 'vitest'
import { missingSelf } from '../../node/allow-list.ts'

test('a node that its own list leaves out is told; without a list nobody is', () => {
  expect(missingSelf(undefined, 'a')).toBeUndefined()
  expect(missingSelf(['b', 'a'], 'a')).toBeUndefined()
  expect(missingSelf(['b', 'c'], 'a')).toContain('does not list this node itself (a)')
})
