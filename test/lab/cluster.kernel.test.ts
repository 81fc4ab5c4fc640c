/** A lab with daemons: ready means ready, daemons can be killed and restarted, and the end leaves nothing. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { run } from '../../lab/command.ts'
import type { LabJson } from '../../lab/lab.ts'
import { labProcesses, leftovers } from '../../lab/teardown.ts'
import { labDown, labOpen, labUp } from '../../lab/up.ts'
import { uniqueName } from './labs.ts'

const dpr = join(import.meta.dirname, '..', '..', 'cli', 'dpr')

test('up says where everything is; a killed daemon is restarted; down leaves nothing', async () => {
  const name = uniqueName()
  onTestFinished(() => labDown(name))
  const up = await run([dpr, 'lab', 'up', '--name', name, '--hosts-per-segment', '1', '--json'], { timeoutMs: 90_000 })
  expect(up.code, up.stderr).toBe(0)
  const json = JSON.parse(up.stdout) as LabJson
  expect(json.hosts.map((host) => host.name)).toEqual(['h1', 'h2'])
  for (const { daemonPid, serverPid } of json.hosts) {
    // The recorded pids are the processes themselves, not a wrapper's.
    expect(readFileSync(`/proc/${daemonPid}/cmdline`, 'utf8')).toMatch(/node\0.*cli\/main\.[tj]s\0node\0start/)
    expect(readFileSync(`/proc/${serverPid}/cmdline`, 'utf8')).toMatch(/server-main\.[tj]s/)
  }

  const lab = labOpen(name)
  await lab.killDaemon('h2')
  expect(lab.daemonRunning('h2')).toBe(false)
  const seen = async () => (await lab.peers('h1')).find((peer) => peer.name === 'h2')?.status
  await expect.poll(seen, { timeout: 20_000 }).toBe('dead')
  await expect(lab.killDaemon('h2')).rejects.toMatchObject({ code: 'E_LAB_NODE' })
  await lab.restartDaemon('h2')
  expect(await lab.waitReady(60_000)).toBeUndefined()
  expect((await lab.status('h2')).pid).toBe(lab.toJSON().hosts[1]!.daemonPid)

  const processes = labProcesses(name)
  expect((await run([dpr, 'lab', 'down', '--name', name])).code).toBe(0)
  expect(leftovers(name, processes)).toEqual([])
})

test('a cluster that cannot start says why and leaves nothing', async () => {
  const name = uniqueName()
  const lines: string[] = []
  const overrides = { h1: { nodeAddress: '10.77.0.1' } }
  const start = labUp({ name, segments: 1, hostsPerSegment: 1, overrides, progress: (line) => lines.push(line) })
  await expect(start).rejects.toMatchObject({ code: 'E_LAB_NOT_READY', message: 'h1: its daemon has ended' })
  expect(lines.join('\n')).toContain('10.77.0.1')
  expect(leftovers(name, [])).toEqual([])
})
