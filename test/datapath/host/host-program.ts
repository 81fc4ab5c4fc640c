/**
 * A daemon reduced to its host setup, to be run inside a namespace and killed there: requests as JSON lines on stdin,
 * one answer line each.
 *
 *     node host-program.ts RUNTIME_DIRECTORY DEVICE [PATH]
 *     {"do":"steer","plan":{…}}  →  {"ok":true} | {"code":"E_…","message":"…","remedy":"…"}
 */
import { execFileSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import { createFallbackDecap } from '../../../datapath/host/fallback-decap.ts'
import { createHostSetup } from '../../../datapath/host/host-setup.ts'
import type { HostPlan } from '../../../datapath/host/plan.ts'
import { openTap } from './tap.ts'
import type { Tap } from './tap.ts'

export type HostRequest =
  | { do: 'preflight' | 'repair' | 'deviceReady' | 'settle' | 'undo' | 'tap' | 'frames' }
  | { do: 'prepare' | 'steer' | 'update' | 'twice'; plan: HostPlan }
  | { do: 'open'; holdResets: boolean }
  | { do: 'fallback'; plan: HostPlan }

export type HostAnswer = { ok: true; frames?: string[] } | { ok: false; code: string; message: string; remedy: string }

const [runtimeDirectory = '', device = '', path] = process.argv.slice(2)
const setup = createHostSetup({
  runtimeDirectory,
  device,
  log: { info: () => undefined, warn: () => undefined },
  ...(path === undefined ? {} : { path }),
})
let tap: Tap | undefined

async function perform(request: HostRequest): Promise<string[] | undefined> {
  switch (request.do) {
    case 'tap':
      tap = openTap(device)
      execFileSync('ip', ['link', 'set', device, 'up'])
      return undefined
    case 'frames':
      return tap?.take() ?? []
    case 'twice':
      await Promise.all([setup.steer(request.plan), setup.steer(request.plan), setup.update(request.plan)])
      return undefined
    case 'prepare':
    case 'steer':
    case 'update':
      await setup[request.do](request.plan)
      return undefined
    case 'open':
      await setup.open({ holdResets: request.holdResets })
      return undefined
    case 'fallback': {
      const decap = createFallbackDecap()
      decap.setMembers(['10.77.0.2'])
      decap.setPublished([...request.plan.publishedAddresses])
      decap.attach([...request.plan.interfaces])
      return undefined
    }
    case 'preflight':
    case 'repair':
    case 'deviceReady':
    case 'settle':
    case 'undo':
      await setup[request.do]()
      return undefined
    default:
      throw new Error(`no such request: ${JSON.stringify(request satisfies never)}`)
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer: HostAnswer
  try {
    const frames = await perform(JSON.parse(line) as HostRequest)
    answer = frames === undefined ? { ok: true } : { ok: true, frames }
  } catch (error) {
    const { code = '', message = '', remedy = '' } = error as { code?: string; message?: string; remedy?: string }
    answer = { ok: false, code, message, remedy }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
