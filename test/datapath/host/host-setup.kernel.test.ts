import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { HostPlan } from '../../../datapath/host/plan.ts'
import { createTestHost, DEVICE, guardPid, isAlive } from './namespaces.ts'
import type { HostProgram, TestHost } from './namespaces.ts'

const P1 = '10.77.0.101'
const P2 = '10.77.0.102'
const P3 = '10.77.0.103'

let host: TestHost
let plan: HostPlan
beforeEach(() => {
  host = createTestHost()
  plan = {
    device: DEVICE,
    interfaces: [host.eth0],
    publishedAddresses: [P1, P2],
    clamps: [{ address: P2, mss: 1_440 }],
  }
})
afterEach(() => host.destroy())

/** A daemon that has gone all the way to steering. */
async function steering(to: HostPlan = plan): Promise<HostProgram> {
  const program = host.program()
  for (const step of ['preflight', 'repair', 'tap'] as const) await program.must({ do: step })
  await program.must({ do: 'prepare', plan: to })
  await program.must({ do: 'deviceReady' })
  await program.must({ do: 'steer', plan: to })
  return program
}

async function undoAndEnd(program: HostProgram): Promise<void> {
  await program.must({ do: 'undo' })
  await program.kill()
}

const sysctl = (key: string) => host.run(`cat /proc/sys/net/ipv4/conf/${key}`).trim()
const filters = (of = 'eth0') => host.run(`tc filter show dev ${of} ingress`)
const steered = (of = 'eth0') =>
  filters(of)
    .match(/match 0a4d00\w\w\/ffffffff at 16/g)
    ?.map((line) => Number.parseInt(line.slice(12, 14), 16)) ?? []
const onLoopback = () => host.run('ip -o address show dev lo').match(/10\.77\.0\.\d+/g) ?? []

describe('a full cycle', () => {
  it('leaves the namespace as it was, byte for byte', async () => {
    const before = host.state()
    const program = await steering()
    expect(sysctl('all/arp_ignore')).toBe('1')
    expect(sysctl('eth0/arp_announce')).toBe('2')
    expect(sysctl(`${DEVICE}/rp_filter`)).toBe('2')
    expect(onLoopback()).toEqual([P1, P2])
    expect(steered()).toEqual([101, 102, 1])
    expect(host.run('nft list table ip dpr')).toContain('maxseg size set 1440')
    const guard = guardPid(host)
    expect(isAlive(guard)).toBe(true)
    await undoAndEnd(program)
    expect(isAlive(guard)).toBe(false)
    expect(host.state()).toBe(before)
  })

  it('leaves alone what others have in the same places', async () => {
    host.run(`
      ip address add ${P1}/32 dev lo
      sysctl -qw net.ipv4.conf.all.arp_ignore=2 net.ipv4.conf.eth0.arp_announce=1
      tc qdisc add dev eth0 clsact
      tc filter add dev eth0 ingress protocol ip pref 7 u32 match ip dst 10.9.9.9/32 classid 1:1
      tc filter add dev eth0 ingress protocol ip pref 50000 u32 match ip dst 10.9.9.8/32 classid 1:1
      nft 'table ip other { chain c { type filter hook output priority 0; ip saddr ${P1} counter; }; }'
      nft 'table inet dpr { chain c { type filter hook output priority 0; ip saddr ${P1} accept; }; }'`)
    const before = host.state()
    const program = await steering()
    expect(sysctl('all/arp_ignore')).toBe('2')
    await undoAndEnd(program)
    expect(host.state()).toBe(before)
  })

  it('works where the older ingress qdisc holds the place of clsact', async () => {
    host.run('tc qdisc add dev eth0 ingress')
    const before = host.state()
    const program = await steering()
    expect(steered()).toEqual([101, 102, 1])
    await undoAndEnd(program)
    expect(host.state()).toBe(before)
  })

  it('each step may be repeated, and several may be called at once', async () => {
    const before = host.state()
    const program = await steering()
    const once = host.state()
    const guard = guardPid(host)
    await program.must({ do: 'twice', plan })
    await program.must({ do: 'prepare', plan })
    await program.must({ do: 'deviceReady' })
    await program.must({ do: 'steer', plan })
    await program.must({ do: 'settle' })
    await program.must({ do: 'settle' })
    expect(host.state()).toBe(once)
    expect(guardPid(host)).toBe(guard)
    await program.must({ do: 'undo' })
    await undoAndEnd(program)
    expect(host.state()).toBe(before)
  })

  it('keeps what somebody else changed after us', async () => {
    const program = await steering()
    host.run(`
      sysctl -qw net.ipv4.conf.all.arp_announce=1
      ip address del ${P2}/32 dev lo
      tc filter add dev eth0 ingress protocol ip pref 9 u32 match ip dst 10.9.9.9/32 classid 1:1`)
    await undoAndEnd(program)
    expect(sysctl('all/arp_announce')).toBe('1')
    expect(sysctl('all/arp_ignore')).toBe('0')
    expect(onLoopback()).toEqual([])
    expect(host.run('tc qdisc show dev eth0')).toContain('clsact')
    expect(filters()).toContain('pref 9 ')
    expect(filters()).not.toContain('pref 48')
  })

  it('opens and steers again, the same as before', async () => {
    const program = await steering()
    const on = filters()
    await program.must({ do: 'open', holdResets: true })
    expect(filters()).toBe('')
    expect(onLoopback()).toEqual([P1, P2])
    expect(host.run('nft list table ip dpr_guard')).toMatch(/10\.77\.0\.101 expires \d+s/)
    await program.must({ do: 'steer', plan })
    expect(filters().replaceAll(/index \d+/g, '')).toBe(on.replaceAll(/index \d+/g, ''))
    expect(isAlive(guardPid(host))).toBe(true)
    await program.must({ do: 'settle' })
    expect(host.run('nft list tables')).not.toContain('dpr_guard')
    await program.kill()
  })
})

describe('update', () => {
  it('adds what is new before it removes what is not named any more', async () => {
    const program = await steering()
    await program.must({
      do: 'update',
      plan: { ...plan, publishedAddresses: [P2, P3], clamps: [{ address: P3, mss: 1_400 }] },
    })
    expect(steered().toSorted((a, b) => a - b)).toEqual([1, 102, 103])
    expect(onLoopback().toSorted()).toEqual([P2, P3])
    expect(host.run('nft list table ip dpr')).toMatch(/10\.77\.0\.103 .* set 1400/)
    await program.must({ do: 'update', plan: { ...plan, publishedAddresses: [], clamps: [] } })
    expect(steered()).toEqual([1])
    expect(host.run('nft list tables')).toBe('')
    await program.kill()
  })

  it('does not take an address from lo that was there before', async () => {
    host.run(`ip address add ${P1}/32 dev lo`)
    const program = await steering()
    await program.must({ do: 'update', plan: { ...plan, publishedAddresses: [P2] } })
    expect(onLoopback()).toEqual([P1, P2])
    await program.kill()
  })

  it('follows a changed MAC, and interfaces that come and go', async () => {
    host.run('ip link add eth1 type veth peer name far1; ip address add 10.78.0.1/24 dev eth1; ip link set eth1 up')
    const before = host.state()
    const [link] = JSON.parse(host.run('ip -j link show eth1')) as { ifindex: number; address: string }[]
    const eth1 = { name: 'eth1', ifindex: link!.ifindex, mac: link!.address, address: '10.78.0.1' }
    const program = await steering()
    await program.must({ do: 'update', plan: { ...plan, interfaces: [host.eth0, eth1] } })
    expect(steered('eth1').toSorted((a, b) => a - b)).toEqual([1, 101, 102])
    expect(filters('eth0')).toContain('match 0a4e0001/ffffffff at 16')

    const mac = '02:00:00:00:78:99'
    host.run(`ip link set eth1 address ${mac}`)
    await program.must({ do: 'update', plan: { ...plan, interfaces: [host.eth0, { ...eth1, mac }] } })
    expect(filters('eth1').match(/match 00007899\/ffffffff at -12/g)).toHaveLength(4)
    expect(filters('eth1').match(/redirect/gi)).toHaveLength(4)

    await program.must({ do: 'update', plan })
    expect(filters('eth1')).toBe('')
    expect(host.run('tc qdisc show dev eth1')).not.toContain('clsact')
    expect(sysctl('eth1/arp_ignore')).toBe('0')
    host.run(`ip link set eth1 address ${link!.address}`)
    await undoAndEnd(program)
    expect(host.state()).toBe(before)
  })

  it('mends what others broke: a clsact deleted, an address and a sysctl taken away', async () => {
    const before = host.state()
    const program = await steering()
    const on = host.state().replaceAll(/index \d+/g, '')
    host.run(`tc qdisc del dev eth0 clsact; ip address del ${P2}/32 dev lo; nft flush ruleset
      sysctl -qw net.ipv4.conf.all.arp_ignore=0`)
    await program.must({ do: 'update', plan })
    expect(host.state().replaceAll(/index \d+/g, '')).toBe(on)
    await undoAndEnd(program)
    expect(host.state()).toBe(before)
  })
})

describe('faults have a code and change nothing that stays', () => {
  it('an interface that does not exist', async () => {
    const before = host.state()
    const program = host.program()
    const gone = { ...plan, interfaces: [{ ...host.eth0, name: 'eth9' }] }
    for (const step of ['prepare', 'steer'] as const) {
      expect(await program.ask({ do: step, plan: gone })).toMatchObject({
        code: 'E_INTERFACE_GONE',
        message: expect.stringContaining('eth9') as string,
      })
    }
    expect(host.state()).toBe(before)
  })

  it('an interface that was made anew under its old name', async () => {
    const program = await steering()
    host.run('ip link del eth0; ip link add eth0 type veth peer name far0; ip link set eth0 up')
    const fresh = host.state()
    expect(await program.ask({ do: 'update', plan })).toMatchObject({ code: 'E_INTERFACE_GONE' })
    await program.must({ do: 'update', plan: { ...plan, interfaces: [] } })
    await undoAndEnd(program)
    expect(host.run('tc qdisc show dev eth0; tc filter show dev eth0 ingress')).not.toMatch(/clsact|48101/)
    expect(fresh).toContain('eth0')
    expect(sysctl('all/arp_ignore')).toBe('0')
  })

  it('a device that is missing: the steering is open afterwards, and undo cleans up', async () => {
    const before = host.state()
    const program = host.program()
    await program.must({ do: 'prepare', plan })
    expect(await program.ask({ do: 'deviceReady' })).toMatchObject({ code: 'E_INTERFACE_GONE' })
    expect(await program.ask({ do: 'steer', plan })).toMatchObject({
      code: 'E_HOST_COMMAND',
      message: expect.stringMatching(/filter add dev eth0 .*dpr0/) as string,
    })
    expect(filters()).toBe('')
    await undoAndEnd(program)
    expect(host.state()).toBe(before)
  })

  it("somebody else's filter at our preference", async () => {
    host.run(`tc qdisc add dev eth0 clsact
      tc filter add dev eth0 ingress protocol ip pref 48101 u32 match ip dst 10.9.9.9/32 classid 1:1`)
    const program = host.program()
    await program.must({ do: 'tap' })
    await program.must({ do: 'prepare', plan })
    const before = filters()
    expect(await program.ask({ do: 'steer', plan })).toMatchObject({ code: 'E_FILTER_TAKEN' })
    expect(filters()).toBe(before)
    await undoAndEnd(program)
    expect(filters()).toBe(before)
  })

  it('a foreign filter that came to our preference later survives the undo', async () => {
    const program = await steering()
    host.run('tc filter add dev eth0 ingress protocol ip pref 48101 u32 match ip dst 10.9.9.9/32 classid 1:1')
    await undoAndEnd(program)
    expect(filters()).toContain('match 0a090909/ffffffff at 16')
    expect(filters()).not.toContain('mirred')
  })

  it('a second daemon, while the first one lives', async () => {
    const first = await steering()
    const on = host.state()
    const second = host.program()
    for (const request of [{ do: 'repair' }, { do: 'prepare', plan }, { do: 'steer', plan }, { do: 'undo' }] as const) {
      expect(await second.ask(request)).toMatchObject({ code: 'E_HOST_BUSY' })
    }
    expect(host.state()).toBe(on)
    await first.kill()
    await second.must({ do: 'repair' })
    await undoAndEnd(second)
  })

  it.each([
    ['ip', 'E_TOOL_MISSING_IP', 'iproute2'],
    ['tc', 'E_TOOL_MISSING_TC', 'iproute2'],
    ['nft', 'E_TOOL_MISSING_NFT', 'nftables'],
  ])('no %s', async (missing, code, debianPackage) => {
    const directory = mkdtempSync(join(tmpdir(), 'dpr-tools-'))
    try {
      for (const tool of ['ip', 'tc', 'nft']) {
        if (tool !== missing) symlinkSync(host.run(`command -v ${tool}`).trim(), join(directory, tool))
      }
      const program = host.program({ path: directory })
      expect(await program.ask({ do: 'preflight' })).toMatchObject({
        code,
        remedy: expect.stringContaining(`apt install ${debianPackage}`) as string,
      })
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  it.each([
    ['a user without capabilities', ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all']],
    ['root without CAP_NET_ADMIN', ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin']],
  ])('%s', async (_name, wrapper) => {
    const program = host.program({ wrapper })
    expect(await program.ask({ do: 'preflight' })).toMatchObject({
      code: 'E_NOT_ROOT',
      message: expect.stringContaining('CAP_NET_ADMIN') as string,
    })
  })

  it('preflight passes here and changes nothing', async () => {
    const before = host.state()
    await host.program().must({ do: 'preflight' })
    expect(host.state()).toBe(before)
    expect(() => readFileSync(join(host.runtimeDirectory, 'host.json'))).toThrow(/ENOENT/)
  })
})
