/**
 * The fallback decapsulator on a real host stack, in three namespaces. Packets of the client for P travel in IPIP:
 *
 *     client 192.0.2.9 ── peer (encapsulates, forwards the answers) ── host 10.1.0.2, P = 10.1.0.101 on lo
 *                         10.1.0.1                                     no ipip module, no socket for protocol 4
 */
import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { FALLBACK_DECAP_PRIORITY } from '../../datapath/host/fallback-decap.ts'

const P = '10.1.0.101'
const PORT = '80'
const UPLOAD_BYTES = 5_000_000
/** An MSS of 1,440 with timestamps leaves 1,428 bytes each. */
const SEGMENTS = UPLOAD_BYTES / 1_428
const DEADLINE_MS = 30_000
const CLIENT = `fbd-${process.pid}-c`
const PEER = `fbd-${process.pid}-p`
const HOST = `fbd-${process.pid}-h`
const childFile = fileURLToPath(new URL('./fallback-decap-child.ts', import.meta.url))

const sh = (command: string, ...args: string[]) => execFileSync(command, args, { encoding: 'utf8', stdio: 'pipe' })
const inside = (namespace: string, command: string) => sh('ip', 'netns', 'exec', namespace, ...command.split(' '))
const ip = (namespace: string, command: string) => sh('ip', '-n', namespace, ...command.split(' '))
const filters = (device = 'eth0') => inside(HOST, `tc filter show dev ${device} ingress`).trim()

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`still waiting: ${what}`)
    await delay(20)
  }
}

/** A process of ours in a namespace. It ends with the test. */
class Child {
  readonly process: ChildProcessWithoutNullStreams
  #lines: AsyncIterator<string>
  #errors = ''

  constructor(namespace: string, role: string, options: Record<string, string> = {}) {
    const args = ['netns', 'exec', namespace, process.execPath, childFile, role, JSON.stringify(options)]
    this.process = spawn('ip', args)
    this.process.stdin.on('error', () => {}) // it may be dead by then
    this.process.stderr.on('data', (text: Buffer) => (this.#errors += text.toString()))
    this.#lines = createInterface(this.process.stdout)[Symbol.asyncIterator]()
    children.push(this)
  }

  async answer(): Promise<unknown> {
    const { done, value } = await this.#lines.next()
    if (done === true) throw new Error(`the process ended without an answer: ${this.#errors}`)
    return JSON.parse(value)
  }

  ask(...command: unknown[]): Promise<unknown> {
    this.process.stdin.write(`${JSON.stringify(command)}\n`)
    return this.answer()
  }

  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    const gone = new Promise((resolve) => this.process.once('exit', resolve))
    this.process.kill('SIGKILL')
    await gone
  }
}
let children: Child[] = []

async function decapsulator(members: string[]): Promise<Child> {
  const child = new Child(HOST, 'decap', { address: '10.1.0.2' })
  expect(await child.answer()).toBe('ready')
  expect(await child.ask('setMembers', members)).toBe('done')
  expect(await child.ask('setPublished', [P])).toBe('done')
  expect(await child.ask('attach', ['eth0'])).toBe('done')
  return child
}

async function upload(): Promise<unknown> {
  return new Child(CLIENT, 'upload', { address: P, port: PORT, bytes: String(UPLOAD_BYTES) }).answer()
}
const INTACT = expect.objectContaining({ intact: true }) as unknown

/** A counter of /proc/net/snmp in the host's namespace. */
function snmp(group: string, counter: string): number {
  const rows = inside(HOST, 'cat /proc/net/snmp').split('\n')
  const [names, values] = rows.filter((row) => row.startsWith(`${group}:`)).map((row) => row.split(' '))
  return Number(values![names!.indexOf(counter)])
}

const framesReceived = () => Number(inside(HOST, 'cat /sys/class/net/eth0/statistics/rx_packets'))

/** Descriptors of BPF objects that a process holds. */
function bpfDescriptors(pid: number): string[] {
  const all = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`)
    } catch {
      return '' // closed in between
    }
  })
  return all.filter((target) => target.includes('bpf')).sort()
}

function cable(a: string, nameA: string, b: string, nameB: string): void {
  sh('ip', ...`link add ${nameA} netns ${a} type veth peer name ${nameB} netns ${b}`.split(' '))
  ip(a, `link set ${nameA} up`)
  ip(b, `link set ${nameB} up`)
}
const macOf = (namespace: string, device: string) => inside(namespace, `cat /sys/class/net/${device}/address`).trim()

function removeNamespaces(): void {
  const present = sh('ip', 'netns', 'list')
  for (const name of [CLIENT, PEER, HOST]) if (present.includes(name)) sh('ip', 'netns', 'del', name)
}

beforeAll(async () => {
  removeNamespaces()
  for (const name of [CLIENT, PEER, HOST]) {
    sh('ip', 'netns', 'add', name)
    ip(name, 'link set lo up')
  }
  cable(CLIENT, 'eth0', PEER, 'client')
  cable(PEER, 'lan', HOST, 'eth0')
  cable(PEER, 'spare', HOST, 'eth1')
  ip(CLIENT, 'addr add 192.0.2.9/24 dev eth0')
  ip(PEER, 'addr add 192.0.2.1/24 dev client')
  ip(PEER, 'addr add 10.1.0.1/24 dev lan')
  ip(HOST, 'addr add 10.1.0.2/24 dev eth0')
  ip(HOST, `addr add ${P}/32 dev lo`)
  ip(CLIENT, 'route add default via 192.0.2.1')
  ip(HOST, 'route add default via 10.1.0.1 advmss 1440') // room for the outer header
  inside(PEER, 'sysctl -qw net.ipv4.ip_forward=1')
  inside(PEER, 'tc qdisc add dev client clsact')
  inside(HOST, 'tc qdisc add dev eth0 clsact')
  inside(HOST, 'tc qdisc add dev eth1 clsact')
  const encap = new Child(PEER, 'encap', {
    in: 'client',
    out: 'lan',
    published: P,
    source: '10.1.0.1',
    destination: '10.1.0.2',
    sourceMac: macOf(PEER, 'lan'),
    destinationMac: macOf(HOST, 'eth0'),
  })
  expect(await encap.answer()).toEqual({ errno: 0, reason: '' })
  const server = new Child(HOST, 'serve', { address: P, port: PORT })
  expect(await server.answer()).toBe('ready')
  children = children.filter((child) => child !== server)
  stopServer = () => server.kill()
})
let stopServer = async (): Promise<void> => {}

afterEach(async () => {
  for (const child of children) await child.kill()
  children = []
  for (const device of ['eth0', 'eth1']) {
    for (const priority of [FALLBACK_DECAP_PRIORITY, 48_110, 50_000]) {
      if (filters(device).includes(`pref ${priority} `))
        inside(HOST, `tc filter del dev ${device} ingress prio ${priority}`)
    }
  }
})

afterAll(async () => {
  for (const child of children) await child.kill()
  await stopServer()
  removeNamespaces()
})

describe('flows that arrive in tunnels', () => {
  test('a 5 MB upload arrives whole, in super-packets, with no bad checksum', async () => {
    await decapsulator(['10.1.0.1'])
    const before = framesReceived()
    expect(await upload()).toEqual(INTACT)
    expect(snmp('Tcp', 'InCsumErrors')).toBe(0)
    // Far fewer frames than segments, or offloads would not have been tested.
    expect(framesReceived() - before).toBeLessThan(SEGMENTS / 2)
  })

  test('also where the sender’s device segments and the receiver’s GRO puts super-packets together', async () => {
    await decapsulator(['10.1.0.1'])
    inside(PEER, 'ethtool -K lan tso off gso off tx off')
    inside(HOST, 'ethtool -K eth0 gro on')
    const before = { frames: framesReceived(), segments: snmp('Tcp', 'InSegs') }
    try {
      expect(await upload()).toEqual(INTACT)
      expect(snmp('Tcp', 'InCsumErrors')).toBe(0)
      expect(framesReceived() - before.frames).toBeGreaterThanOrEqual(SEGMENTS)
      // The counter takes a super-packet whose headers were changed for one.
      expect(snmp('Tcp', 'InSegs') - before.segments).toBeLessThan(SEGMENTS / 2)
    } finally {
      inside(HOST, 'ethtool -K eth0 gro off')
      inside(PEER, 'ethtool -K lan tso on gso on tx on')
    }
  })

  test('strangers meet protocol-unreachable, until they become members', async () => {
    const daemon = await decapsulator(['10.1.0.77'])
    const unreachable = snmp('Icmp', 'OutDestUnreachs')
    const accepted = snmp('Tcp', 'PassiveOpens')
    const connection = upload()
    await until('ICMP for the stranger', () => snmp('Icmp', 'OutDestUnreachs') > unreachable)
    expect(snmp('Tcp', 'PassiveOpens')).toBe(accepted)

    expect(await daemon.ask('setMembers', ['10.1.0.1', '10.1.0.77'])).toBe('done')
    expect(await connection).toEqual(INTACT)
  })

  test('an address that is no longer published is not delivered to', async () => {
    const daemon = await decapsulator(['10.1.0.1'])
    expect(await daemon.ask('setPublished', ['10.1.0.102'])).toBe('done')
    const unreachable = snmp('Icmp', 'OutDestUnreachs')
    const connection = upload()
    await until('ICMP for the address', () => snmp('Icmp', 'OutDestUnreachs') > unreachable)
    expect(await daemon.ask('setPublished', [P])).toBe('done')
    expect(await connection).toEqual(INTACT)
  })
})

describe('the daemon’s death', () => {
  test('SIGKILL leaves filter, program and maps in place', async () => {
    const daemon = await decapsulator(['10.1.0.1'])
    await daemon.kill()
    expect(filters()).toContain(`pref ${FALLBACK_DECAP_PRIORITY} bpf`)
    expect(await upload()).toEqual(INTACT)
  })

  test('it takes over when the redirect filter before it goes', async () => {
    const daemon = await decapsulator(['10.1.0.1'])
    const match = 'u32 match ip protocol 4 0xff action mirred egress redirect dev eth1'
    inside(HOST, `tc filter add dev eth0 ingress protocol ip prio 48110 ${match}`)
    const redirected = () => Number(inside(HOST, 'cat /sys/class/net/eth1/statistics/tx_packets'))
    const before = redirected()
    const connection = upload()
    await until('a redirected SYN', () => redirected() > before)

    await daemon.kill()
    inside(HOST, 'tc filter del dev eth0 ingress prio 48110')
    expect(await connection).toEqual(INTACT)
  })

  test('the next daemon replaces the filter and its maps', async () => {
    await (await decapsulator(['10.1.0.77'])).kill()
    const left = filters()
    await decapsulator(['10.1.0.1'])
    expect(filters()).not.toBe(left)
    expect(filters().match(/handle/g)).toHaveLength(1)
    expect(await upload()).toEqual(INTACT)
  })
})

describe('coming and going', () => {
  test('while attached: two maps in the process, the program held by the filter alone', async () => {
    const daemon = await decapsulator(['10.1.0.1'])
    expect(bpfDescriptors(daemon.process.pid!)).toEqual(['anon_inode:bpf-map', 'anon_inode:bpf-map'])
    for (const fd of readdirSync(`/proc/${daemon.process.pid!}/fd`)) {
      const target = readlinkSync(`/proc/${daemon.process.pid!}/fd/${fd}`)
      if (!target.includes('bpf')) continue
      const flags = /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/${daemon.process.pid!}/fdinfo/${fd}`, 'utf8'))![1]!
      expect(Number.parseInt(flags, 8) & 0o2000000).not.toBe(0) // O_CLOEXEC
    }
  })

  test('detach leaves nothing of ours and everything of others, twice if need be', async () => {
    inside(HOST, 'tc filter add dev eth0 ingress protocol ip prio 50000 u32 match ip protocol 253 0xff classid 1:1')
    const others = filters()
    const daemon = await decapsulator(['10.1.0.1'])
    expect(filters()).toContain('dpr-decap')
    for (let time = 0; time < 2; time++) {
      expect(await daemon.ask('detach')).toBe('done')
      expect(filters()).toBe(others)
      expect(bpfDescriptors(daemon.process.pid!)).toEqual([])
    }
  })

  test('attached anew, it moves with the interfaces and keeps its addresses', async () => {
    const daemon = await decapsulator(['10.1.0.1'])
    expect(await daemon.ask('attach', ['eth1'])).toBe('done')
    expect(filters('eth0')).toBe('')
    expect(filters('eth1')).toContain('dpr-decap')
    expect(await daemon.ask('attach', ['eth0', 'eth1'])).toBe('done')
    expect(bpfDescriptors(daemon.process.pid!)).toHaveLength(2)
    expect(await upload()).toEqual(INTACT)
  })

  test('detach after the interface is gone is no error', async () => {
    ip(HOST, 'link add eth2 type veth peer name eth3')
    inside(HOST, 'tc qdisc add dev eth2 clsact')
    const daemon = await decapsulator(['10.1.0.1'])
    expect(await daemon.ask('attach', ['eth0', 'eth2'])).toBe('done')
    ip(HOST, 'link del eth2')
    expect(await daemon.ask('detach')).toBe('done')
    expect(filters()).toBe('')
  })
})

describe('refusals leave nothing attached', () => {
  test('an interface without clsact: the kernel’s words, and the command that mends it', async () => {
    const daemon = await decapsulator(['10.1.0.1'])
    expect(await daemon.ask('attach', ['eth0', 'lo'])).toMatchObject({
      code: 'E_NO_BPF',
      message: expect.stringMatching(/to lo: .*Qdisc/) as unknown,
      remedy: expect.stringContaining('tc qdisc add dev lo clsact') as unknown,
    })
    expect(filters()).toBe('')
    expect(bpfDescriptors(daemon.process.pid!)).toEqual([])
  })

  test('somebody else’s filter at our priority: theirs stays', async () => {
    const place = `dev eth0 ingress protocol ip prio ${FALLBACK_DECAP_PRIORITY}`
    const daemon = await decapsulator(['10.1.0.1'])
    expect(await daemon.ask('detach')).toBe('done')
    inside(HOST, `tc filter add ${place} u32 match ip protocol 253 0xff classid 1:1`)
    const theirs = filters()
    expect(await daemon.ask('attach', ['eth0'])).toMatchObject({ code: 'E_NO_BPF' })
    expect(await daemon.ask('detach')).toBe('done')
    expect(filters()).toBe(theirs)
  })

  test('no privileges', () => {
    const script = `
      const { createFallbackDecap } = await import(${JSON.stringify(new URL('../../datapath/host/fallback-decap.ts', import.meta.url).href)})
      try { createFallbackDecap().attach([{ name: 'lo', ifindex: 1, address: '127.0.0.1' }]) }
      catch (error) { process.stdout.write(error.code + ' ' + error.message) }`
    const node = [process.execPath, '--input-type=module', '-e', script]
    const said = sh('setpriv', '--bounding-set=-all', '--inh-caps=-all', '--reuid=65534', '--clear-groups', ...node)
    expect(said).toMatch(/^E_NO_BPF cannot create the BPF map dpr_members: operation not permitted/)
  })
})
