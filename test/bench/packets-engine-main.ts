/**
 * A tun engine alone: no daemon, no peer, a network namespace of its own that goes when this process does. One member
 * is known, at a MAC that nobody has (`mac`) or behind a gateway with such a MAC (`ipip`), so that what is forwarded
 * leaves through eth0 and nobody minds it; what stays local is dropped by nft before TCP could answer with a RST.
 *
 * Spawned by packets-cell.ts, which asks over the IPC channel.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { addLine, wantedFilters } from '../../datapath/host/tc.ts'
import { boottimeMs } from '../../datapath/linux/libc.ts'
import { parseIpv4, parseMac } from '../../datapath/packet/bytes.ts'
import type { Snapshot } from '../../datapath/snapshot.ts'
import { TunEngine } from '../../datapath/tun/tun-engine.ts'
import { DEFAULTS } from '../../node/defaults.ts'
import { enterOwnNetworkNamespace } from '../compliance/own-namespace.ts'
import { member, tableOf } from '../datapath/core-harness.ts'
import { linkCounts } from './links.ts'
import { ENGINE_ADDRESS, ENGINE_DEVICE, PUBLISHED_ADDRESS, SERVICE_PORT } from './packets-messages.ts'
import type { EngineSample, FromEngine, PacketMode, ToEngine } from './packets-messages.ts'

const GATEWAY = '10.1.0.254'
const REMOTE_MEMBER = '10.2.0.1'
const NOBODYS_MAC = '02:00:00:00:00:fe'
const LEASE_MS = 3_600_000
const SELF = 0
const PEER = 1

/** Synchronous on purpose: libuv's threads were born in the namespace that we left. */
function command(file: string, args: readonly string[], input = ''): string {
  return execFileSync(file, args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] })
}

function setSysctl(key: string, value: string): void {
  const file = `/proc/sys/net/${key}`
  if (existsSync(file)) writeFileSync(file, value)
}

/** @returns ifindex and MAC of eth0 */
function makeNetwork(blasterPid: number): { ifindex: number; mac: string } {
  for (const scope of ['all', 'default']) {
    setSysctl(`ipv4/conf/${scope}/rp_filter`, '0')
    setSysctl(`ipv6/conf/${scope}/disable_ipv6`, '1')
  }
  const lines = [
    'link set lo up',
    `link add eth0 type veth peer name peer0 netns ${blasterPid}`,
    `addr add ${ENGINE_ADDRESS}/24 dev eth0`,
    `addr add ${PUBLISHED_ADDRESS}/32 dev lo`,
    'link set eth0 up',
    `neigh add ${GATEWAY} lladdr ${NOBODYS_MAC} dev eth0 nud permanent`,
    `route add default via ${GATEWAY}`,
  ]
  command('ip', ['-batch', '-'], `${lines.join('\n')}\n`)
  const rule = `ip daddr ${PUBLISHED_ADDRESS} tcp dport ${SERVICE_PORT} counter drop`
  const chain = `chain input {\ntype filter hook input priority 0;\n${rule}\n}`
  command('nft', ['-f', '-'], `table ip bench {\n${chain}\n}\n`)
  const listed = JSON.parse(command('ip', ['-j', 'link', 'show', 'eth0'])) as { ifindex: number; address: string }[]
  return { ifindex: listed[0]!.ifindex, mac: listed[0]!.address }
}

function steer(mac: string): void {
  const filters = wantedFilters({ mac }, [ENGINE_ADDRESS], [PUBLISHED_ADDRESS])
  const lines = ['qdisc add dev eth0 clsact', ...filters.map((filter) => addLine('eth0', filter, ENGINE_DEVICE))]
  command('tc', ['-batch', '-'], `${lines.join('\n')}\n`)
}

function snapshotFor(mode: PacketMode, ifindex: number): Snapshot {
  const nobody = parseMac(NOBODYS_MAC)
  const peer =
    mode === 'ipip'
      ? member('b', REMOTE_MEMBER, { mode: 'ipip', ifindex: 0, mac: new Uint8Array(6), macs: [] })
      : member('b', '10.1.0.2', { mode: 'mac', ifindex, mac: nobody, macs: [nobody] })
  return {
    version: 1,
    self: SELF,
    members: [member('a', ENGINE_ADDRESS, { mode: 'self', macs: [] }), peer],
    addresses: [{ address: parseIpv4(PUBLISHED_ADDRESS), role: 'other', orphans: { do: 'local' } }],
    services: [{ protocol: 6, port: SERVICE_PORT, table: 0 }],
    tables: [tableOf({ ring: mode === 'local' ? new Uint16Array(0) : Uint16Array.of(PEER) })],
    leaseUntilMs: boottimeMs() + LEASE_MS,
  }
}

/** The thread that the engine named; the kernel's scheduler statistics count in ns. */
function workerTimes(): { cpuMs: number; waitMs: number } {
  for (const thread of readdirSync('/proc/self/task')) {
    const directory = `/proc/self/task/${thread}`
    if (readFileSync(`${directory}/comm`, 'utf8').trim() !== 'dpr-tun') continue
    const [onCore, waiting] = readFileSync(`${directory}/schedstat`, 'utf8').split(' ').map(Number)
    return { cpuMs: onCore! / 1e6, waitMs: waiting! / 1e6 }
  }
  throw new Error('the engine has no thread named dpr-tun')
}

function linkSample(): EngineSample['links'] {
  const links = command('ip', ['-j', '-s', 'link'])
  const table = JSON.parse(command('nft', ['-j', 'list', 'table', 'ip', 'bench'])) as {
    nftables: { rule?: { expr: { counter?: { packets: number } }[] } }[]
  }
  const counter = table.nftables.flatMap(({ rule }) => rule?.expr ?? []).find((part) => part.counter !== undefined)
  return {
    eth0: linkCounts(links, 'eth0'),
    device: linkCounts(links, ENGINE_DEVICE),
    deliveredPackets: counter!.counter!.packets,
  }
}

function sample(engine: TunEngine, links: boolean): EngineSample {
  const { counters, flowEntries } = engine.state()
  const atMs = performance.now()
  const { cpuMs, waitMs } = workerTimes()
  const { packetsLocal, packetsMac, packetsIpip, packetsHeld, drops } = counters
  const packets = { packetsLocal, packetsMac, packetsIpip, packetsHeld, drops }
  const times = { workerCpuMs: cpuMs, workerWaitMs: waitMs }
  return { atMs, flowEntries, ...packets, ...times, ...(links ? { links: linkSample()! } : {}) }
}

async function setup(mode: PacketMode, blasterPid: number): Promise<{ engine: TunEngine; mac: string }> {
  const { ifindex, mac } = makeNetwork(blasterPid)
  const engine = new TunEngine({
    device: ENGINE_DEVICE,
    links: [{ name: 'eth0', ifindex, mac: parseMac(mac), address: parseIpv4(ENGINE_ADDRESS) }],
    flowTableEntries: DEFAULTS.flowTableEntries,
    announce: { scheduleMs: DEFAULTS.garpScheduleMs, everyMs: DEFAULTS.garpEveryMs },
    hashKey: new Uint8Array(16).fill(7),
  })
  engine.onFailure((error) => {
    throw error
  })
  await engine.open()
  engine.publish(snapshotFor(mode, ifindex))
  while (engine.state().snapshotVersion !== 1) await new Promise((resolve) => setTimeout(resolve, 5))
  steer(mac)
  return { engine, mac }
}

function reply(message: FromEngine): void {
  process.send!(message)
}

async function begin(mode: PacketMode, blasterPid: number): Promise<void> {
  const made = await setup(mode, blasterPid)
  engine = made.engine
  reply({ type: 'ready', mac: made.mac })
}

enterOwnNetworkNamespace()
let engine: TunEngine | undefined
process.on('disconnect', () => process.exit())
process.on('message', (message: ToEngine) => {
  if (message.type === 'sample') reply({ type: 'sample', sample: sample(engine!, message.links) })
  else void begin(message.mode, message.blasterPid)
})
