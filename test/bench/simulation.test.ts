/** What the simulations are asked, and how answers are read and judged. */
import { describe, expect, it } from 'vitest'
import { simulationSpec } from '../../lab/simulate/spec.ts'
import { simulate } from '../../lab/simulate/simulate.ts'
import { fileName, sectionOf } from './simulation.ts'
import { QUESTIONS, verdictOf } from './simulation-rows.ts'

const FULL = { seeds: 100, minutes: 10 }

function question(start: string) {
  const found = QUESTIONS.find(({ name }) => name.startsWith(start))
  if (found === undefined) throw new Error(`there is no question about ${start}`)
  return found
}

it.each(QUESTIONS)('$name: can be simulated, and seeds differ', (asked) => {
  const all = asked.specs(FULL).map((spec) => simulationSpec(spec))
  expect(new Set(all.map(({ seed }) => seed)).size).toBe(all.length)
})

describe('answers', () => {
  it('come from reports', async () => {
    const spec = { members: 3, durationMs: 2_000, arrivals: 'none' as const }
    const report = await simulate(spec)
    const { shown, isMet } = question('5 members, one frozen').answer([report])
    expect([shown, isMet]).toEqual(['0 of 3 (0.00 %)', true])
    const frozen = { ...report, falseAlarms: { ...report.falseAlarms, membersDeclaredDead: 1 } }
    expect(question('5 members, one frozen').answer([report, frozen]).isMet).toBe(false)
    expect(question('50 members, one frozen').answer([frozen]).isMet).toBe(false)
    const awake = { ...report, falseAlarms: { ...report.falseAlarms, deaths: { stalled: 5, awake: 1 } } }
    expect(question('1,000 members, 2 % loss').answer([awake]).isMet).toBe(false)
    expect(question('1,000 members, 2 % loss').answer([report]).isMet).toBe(true)
    expect(question('5 members, gossip').answer([report]).isMet).toBe(true)
    // Nobody died, so nothing was noticed.
    expect(question('1,000 members, 1 % loss').answer([report]).isMet).toBe(false)
  })

  it.each([
    { name: 'as much as wanted', effort: FULL, isMet: true, verdict: 'met' },
    { name: 'too few seeds', effort: { seeds: 10, minutes: 10 }, isMet: true, verdict: 'open' },
    { name: 'one that fails is enough', effort: { seeds: 1, minutes: 1 }, isMet: false, verdict: 'missed' },
  ])('$name: $verdict', ({ effort, isMet, verdict }) => {
    expect(verdictOf(question('5 members, one frozen'), effort, isMet)).toBe(verdict)
  })
})

it('what was not simulated has no verdict, and what failed no figure', () => {
  const { rows } = sectionOf([], FULL)
  expect(rows.length).toBe(2 * QUESTIONS.length)
  expect(rows.every((row) => 'cells' in row && row.cells[2] === 'open')).toBe(true)
  const failed = { question: QUESTIONS[0]!, model: 'streams', spec: {}, failure: 'the cluster never formed' } as const
  expect(sectionOf([failed], FULL).rows.filter((row) => 'refused' in row)).toHaveLength(1)
})

it('pictures are named by what they show', () => {
  expect(fileName('1,000 members, 2 % loss, 1 % of them')).toBe('1000-members-2-loss-1-of-them')
  expect(new Set(QUESTIONS.map(({ name }) => fileName(name))).size).toBe(QUESTIONS.length)
})
