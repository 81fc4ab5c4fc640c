/** Real namespaces: what is built works, what is ended leaves nothing, and nobody else's things are touched. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { run } from '../../lab/command.ts'
import { LabError } from '../../lab/errors.ts'
import { isAlive, namespaceNames, processRef } from '../../lab/processes.ts'
import type { ProcessRef } from '../../lab/processes.ts'
import { labDirectory } from '../../lab/state.ts'
import type { LabState } from '../../lab/state.ts'
import { labProcesses, leftovers } from '../../lab/teardown.ts'
import { labDown, labOpen, labUp } from '../../lab/up.ts'
import { answering, bareLab, uniqueName } from './labs.ts'

/** Devices that only a lab has, seen in the machine's own network. */
async function strayLinks(): Promise<string[]> {
  const links = JSON.parse((await run(['ip', '-j', 'link'])).stdout) as { ifname: string }[]
  return links.map(({ ifname }) => ifname).filter((name) => /^(?:h\d|br-[a-h]|rt-[a-h]|lan-[a-h]|client)$/.test(name))
}

test('up and down, twice: works each time, leaves no namespace, process, file or link', async () => {
  const name = uniqueName()
  for (const round of [1, 2]) {
    const lab = await bareLab({ name, segments: 2, hostsPerSegment: 2 })
    await answering(lab)
    const processes = labProcesses(name)
    expect(processes.length, `round ${round}`).toBeGreaterThanOrEqual(4)
    expect(await strayLinks()).toEqual([])
    expect(namespaceNames().filter((namespace) => namespace.includes(name))).toHaveLength(7)
    await lab.down()
    expect(leftovers(name, processes)).toEqual([])
    await lab.down()
  }
})

test('two labs side by side have the same addresses and nothing in common', async () => {
  const [one, two] = await Promise.all([bareLab(), bareLab()])
  await Promise.all([answering(one), answering(two)])
  const pids = [one, two].flatMap((lab) => lab.toJSON().hosts.map((host) => host.serverPid))
  expect(new Set(pids).size).toBe(4)
  await one.down()
  await answering(two)
  expect(labOpen(two.name).toJSON()).toEqual(two.toJSON())
})

test('a living lab is refused, a dead one is repaired', async () => {
  const lab = await bareLab()
  await expect(labUp({ name: lab.name, daemons: false })).rejects.toMatchObject({ code: 'E_LAB_EXISTS' })
  await answering(lab)
  for (const host of lab.hosts) await lab.killServer(host.name)
  expect(() => labOpen(lab.name)).toThrow(LabError)
  await answering(await bareLab({ name: lab.name }))
})

test('an interrupted start leaves nothing', async () => {
  const name = uniqueName()
  const start = labUp({ name, daemons: false, signal: AbortSignal.abort() })
  await expect(start).rejects.toMatchObject({ code: 'E_LAB_INTERRUPTED' })
  expect(leftovers(name, [])).toEqual([])
})

test('down never ends a process that has only inherited a recorded pid', async () => {
  const lab = await bareLab()
  const stranger = spawn('sleep', ['60'])
  onTestFinished(() => void stranger.kill('SIGKILL'))
  await once(stranger, 'spawn')
  const file = join(labDirectory(lab.name), 'state.json')
  const state = JSON.parse(readFileSync(file, 'utf8')) as LabState
  state.servers['h9'] = { pid: stranger.pid!, startTicks: '1' }
  writeFileSync(file, JSON.stringify(state))
  await labDown(lab.name)
  expect(isAlive(processRef(stranger.pid!)!)).toBe(true)
})

test('another server command knows its host, and all its children end with the lab', async () => {
  const server =
    'echo $DPR_HOST $DPR_ADDRESS $DPR_PUBLISHED $DPR_PORT >$DPR_DIR/env; sleep 300 & trap "" TERM; sleep 300'
  const lab = await bareLab({ server })
  const file = join(lab.paths('h2').work, 'env')
  await expect.poll(() => (existsSync(file) ? readFileSync(file, 'utf8') : ''), { timeout: 10_000 }).toContain('\n')
  expect(readFileSync(file, 'utf8')).toBe('h2 10.2.0.1 10.2.0.101 80\n')
  const processes: ProcessRef[] = labProcesses(lab.name)
  expect(processes.length).toBeGreaterThanOrEqual(6)
  await lab.down()
  expect(processes.filter(isAlive)).toEqual([])
})

test('a host that is cut off is silent until its port is up again; the others go on', async () => {
  const lab = await bareLab()
  await answering(lab)
  const get = async (host: string) =>
    (await lab.exec('client', ['curl', '-s', '-m', '1', `http://${lab.host(host).address}/`])).stdout.trim()
  await lab.killHost('h2')
  expect([await get('h1'), await get('h2')]).toEqual(['h1', ''])
  await lab.restoreHost('h2')
  await expect.poll(() => get('h2'), { timeout: 20_000 }).toBe('h2')
})

test('a limited link is as slow as it was told to be', async () => {
  const lab = await bareLab({ segments: 1, linkMbit: 20 })
  await answering(lab)
  const url = 'http://10.1.0.1/bytes?n=5000000'
  const curl = ['curl', '-s', '-o', '/dev/null', '-w', '%{speed_download}', url]
  const mbit = (Number((await lab.exec('client', curl)).stdout) * 8) / 1e6
  expect(mbit).toBeGreaterThan(1)
  expect(mbit).toBeLessThan(24)
})

test('hosts are as the kernel makes them, without IPv6, and reach other segments', async () => {
  const lab = await bareLab()
  const { stdout } = await lab.exec('h1', [
    'sh',
    '-c',
    'ip -o addr show dev eth0; sysctl -n net.ipv4.conf.all.rp_filter',
  ])
  expect(stdout).toContain('10.1.0.1/24')
  expect(stdout).not.toContain('inet6')
  expect(stdout.trimEnd().endsWith('0')).toBe(true)
  await answering(lab)
  expect((await lab.exec('h1', ['curl', '-s', 'http://10.2.0.1/'])).stdout).toBe('h2\n')
})

test('`dpr lab exec` passes output and exit code through; `dpr lab status` names the hosts', async () => {
  const lab = await bareLab()
  const dpr = join(import.meta.dirname, '..', '..', 'cli', 'dpr')
  const result = await run([dpr, 'lab', 'exec', '--name', lab.name, 'h2', '--', 'sh', '-c', 'echo $DPR_SOCKET; exit 7'])
  expect(result).toMatchObject({ code: 7, stdout: `${lab.paths('h2').socket}\n` })
  const status = await run([dpr, 'lab', 'status', '--name', lab.name, '--json'])
  expect(JSON.parse(status.stdout)).toMatchObject({ name: lab.name, hosts: [{ name: 'h1' }, { name: 'h2' }] })
  const unknown = await run([dpr, 'lab', 'exec', '--name', lab.name, 'h3', '--', 'true'])
  expect(unknown.code).not.toBe(0)
  expect(unknown.stderr).toContain('E_LAB_NODE')
})
