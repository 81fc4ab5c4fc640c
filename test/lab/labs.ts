/** Labs for tests: names nobody else has, and an end for each of them whatever the test does. */
import { onTestFinished } from 'vitest'
import type { Lab } from '../../lab/lab.ts'
import { labDown, labUp } from '../../lab/up.ts'
import type { LabUpOptions } from '../../lab/up.ts'

let count = 0

export function uniqueName(): string {
  return `t${process.pid}-${++count}`
}

/** Bare hosts with their servers, no daemons; gone when the test is over. */
export async function bareLab(options: LabUpOptions = {}): Promise<Lab> {
  const name = options.name ?? uniqueName()
  onTestFinished(() => labDown(name))
  return await labUp({ segments: 2, hostsPerSegment: 1, daemons: false, ...options, name })
}

/** Node addresses of all hosts answer the client. */
export async function answering(lab: Lab): Promise<void> {
  const missing = await lab.waitAnswers(
    lab.hosts.map((host) => host.address),
    20_000,
  )
  if (missing !== undefined) throw new Error(`${missing.host}: ${missing.reason}`)
}
