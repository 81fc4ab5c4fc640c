/** A daemon that dies before any of its acts: the next one repairs, serves, and undoes everything. */
import { once } from 'node:events'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import type { HostPlan } from '../../../datapath/host/plan.ts'
import type { HostRequest } from './host-program.ts'
import { createTestHost, DEVICE, until } from './namespaces.ts'
import type { TestHost } from './namespaces.ts'

const HERE = import.meta.dirname
const hosts: TestHost[] = []
afterEach(() => {
  for (const host of hosts.splice(0)) host.destroy()
})

/** Own things and those of others, in every place that we touch. */
function furnished(): TestHost {
  const host = createTestHost()
  hosts.push(host)
  host.run(`
    ip address add 10.77.0.103/32 dev lo
    sysctl -qw net.ipv4.conf.all.arp_announce=1
    ip link add eth1 type veth peer name far1; ip address add 10.78.0.1/24 dev eth1; ip link set eth1 up
    tc qdisc add dev eth1 clsact
    tc filter add dev eth1 ingress protocol ip pref 48000 u32 match ip dst 10.9.9.9/32 classid 1:1
    nft 'table ip other { chain c { type filter hook output priority 0; counter; }; }'`)
  return host
}

function planFor(host: TestHost): HostPlan {
  const [link] = JSON.parse(host.run('ip -j link show eth1')) as { ifindex: number; address: string }[]
  return {
    device: DEVICE,
    interfaces: [host.eth0, { name: 'eth1', ifindex: link!.ifindex, mac: link!.address, address: '10.78.0.1' }],
    publishedAddresses: ['10.77.0.101', '10.77.0.102', '10.77.0.103'],
    clamps: [{ address: '10.77.0.102', mss: 1_440 }],
  }
}

/** Runs all requests in a process that kills itself before its n-th act; 0 lets it live. Returns the number of acts. */
async function live(
  host: TestHost,
  requests: HostRequest[],
  crashAt: number,
): Promise<{ acts: number; crashed: boolean }> {
  const child = host.start(
    [
      process.execPath,
      '--import',
      join(HERE, 'crash-at.ts'),
      join(HERE, 'host-program.ts'),
      host.runtimeDirectory,
      DEVICE,
    ],
    'host',
    { CRASH_AT: String(crashAt) },
  )
  let answers = ''
  let complaints = ''
  child.stdout!.on('data', (chunk: Buffer) => (answers += chunk.toString()))
  child.stderr!.on('data', (chunk: Buffer) => (complaints += chunk.toString()))
  child.stdin!.end(requests.map((request) => `${JSON.stringify(request)}\n`).join(''))
  await once(child, 'close')
  if (child.signalCode === null) expect(answers).not.toContain('"ok":false')
  return { acts: Number(/ACTS (\d+)/.exec(complaints)?.[1] ?? 0), crashed: child.signalCode === 'SIGKILL' }
}

function life(plan: HostPlan): HostRequest[] {
  return [
    { do: 'repair' },
    { do: 'tap' },
    { do: 'prepare', plan },
    { do: 'deviceReady' },
    { do: 'steer', plan },
    { do: 'settle' },
    { do: 'update', plan: { ...plan, publishedAddresses: ['10.77.0.102', '10.77.0.104'], clamps: [] } },
    { do: 'open', holdResets: true },
    { do: 'undo' },
  ]
}

it('a life without a crash leaves nothing, and counts its acts', async () => {
  const host = furnished()
  const before = host.state()
  const { acts, crashed } = await live(host, life(planFor(host)), 0)
  expect(crashed).toBe(false)
  expect(acts).toBeGreaterThan(50)
  expect(host.state()).toBe(before)
})

/**
 * Every act is tried, by two hosts at a time. The steering opens by itself, whatever comes next. Half of the crashes are
 * followed by a plain `undo`, half by a start.
 */
it('killed before any of its acts: the next life undoes it all', { timeout: 175_000 }, async () => {
  const tried = await Promise.all([everySecondAct(1), everySecondAct(2)])
  expect(Math.min(...tried)).toBeGreaterThan(50)
})

/** @returns the number of the last act that was tried. */
async function everySecondAct(first: number): Promise<number> {
  const host = furnished()
  const before = host.state()
  const plan = planFor(host)
  for (let crashAt = first; ; crashAt += 2) {
    const { crashed } = await live(host, life(plan), crashAt)
    if (!crashed) {
      expect(host.state(), 'after the life that did not crash').toBe(before)
      return crashAt - 2
    }
    const filters = () => host.run('tc filter show dev eth0 ingress; tc filter show dev eth1 ingress')
    await until(`open after a crash before act ${crashAt}`, () => !/pref 4810[12] /.test(filters()))
    await live(host, crashAt % 4 < 2 ? [{ do: 'repair' }, { do: 'undo' }] : [{ do: 'undo' }], 0)
    expect(host.state(), `after a crash before act ${crashAt}`).toBe(before)
  }
}
