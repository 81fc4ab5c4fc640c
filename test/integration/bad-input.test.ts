/**
 * Whatever is wrong with command line, files, host or cluster: one line on stderr that says what and what to do, an
 * exit code of its own, and a host on which nothing has changed. h2 runs a daemon; h1 is the one that does not start.
 */
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { newClusterKey } from '../../lab/host-config.ts'
import type { Lab } from '../../lab/lab.ts'
import { labDown, labUp } from '../../lab/up.ts'
import { ERROR_CODES } from '../../node/error-codes.ts'
import type { ErrorCode } from '../../node/error-codes.ts'
import {
  answerFrom,
  eventually,
  filesIn,
  hostPicture,
  logLines,
  startedNode,
  startNode,
  stopNode,
  writeConfig,
} from './hosts.ts'
import type { StartOptions, TestDaemon } from './hosts.ts'

const NAME = `bad${process.pid}`
/** Refusals that repeat are told once a minute; the others are watched for so long. */
const STRANGER_WATCH_MS = 6_000

/** Any refusal takes less: three tries of a seed that does not answer, and what a busy machine adds. */
const END_MS = 15_000

/** Everything that a case may need; others than root may read it. */
const directory = mkdtempSync(join(tmpdir(), 'dpr-bad-'))
chmodSync(directory, 0o755)
/** Made anew for each case. */
const runtime = join(directory, 'run')
const state = join(directory, 'state')
const readOnly = join(directory, 'read-only')
let lab: Lab
let other: TestDaemon

beforeAll(async () => {
  mkdirSync(readOnly)
  lab = await labUp({ name: NAME, segments: 2, hostsPerSegment: 1, daemons: false })
  for (const { address, name } of lab.hosts) {
    await eventually(
      `server of ${name}`,
      () => answerFrom(lab, address),
      (from) => from === name,
    )
  }
  other = await startedNode(lab, 'h2')
})
afterAll(async () => {
  await labDown(NAME)
  rmSync(directory, { recursive: true, force: true })
})

/** Runs what follows it with a file system of its own, changed by shell commands. */
function withMounts(script: string): string[] {
  return ['unshare', '-m', 'sh', '-c', `${script} && exec "$@"`, 'sh']
}

/** Nothing that can be executed stands where a tool is found. */
function without(tool: string): string[] {
  return withMounts(`for f in $(which -a ${tool}); do mount --bind /dev/null $(readlink -f $f); done`)
}

function file(name: string, content: string, mode = 0o600): string {
  const path = join(directory, name)
  writeFileSync(path, content)
  chmodSync(path, mode)
  return path
}

interface Case {
  name: string
  code: ErrorCode
  exitCode: number
  /** What the line must name. */
  says: RegExp | string
  /** Top-level keys of the configuration that differ. */
  config?: () => Record<string, unknown>
  /** Instead of a configuration of ours. */
  args?: () => string[]
  wrapper?: string[]
  /** Prepares the host, before the first picture of it; what it returns undoes that. */
  prepare?: (() => Promise<() => Promise<unknown> | void>) | undefined
}

const shell = (command: string) => lab.exec('h1', ['sh', '-ec', command])

/** For `prepare`: a shell command in h1, and the one that takes it back. */
function inHost(command: string, back: string): Case['prepare'] {
  return async () => {
    const { code, stderr } = await shell(command)
    expect(stderr + code).toBe('0')
    return () => shell(back)
  }
}

/** For `prepare`: another process listens on the port. */
function listener(port: number): Case['prepare'] {
  return async () => {
    const script = `require('node:net').createServer().listen(${port}, () => console.log('listens'))`
    const child = lab.spawn('h1', [process.execPath, '-e', script])
    await once(child.stdout!, 'data')
    return async () => {
      child.kill('SIGKILL')
      await once(child, 'close')
    }
  }
}

const commandLine: Case[] = [
  {
    name: 'an unknown command',
    code: 'E_USAGE',
    exitCode: 2,
    says: /node strat.*node start/,
    args: () => ['node', 'strat'],
  },
  {
    name: 'an unknown flag',
    code: 'E_USAGE',
    exitCode: 2,
    says: /--confg.*--config/,
    args: () => ['node', 'start', '--confg', 'x'],
  },
  {
    name: 'a flag without its value',
    code: 'E_USAGE',
    exitCode: 2,
    says: '--config',
    args: () => ['node', 'start', '--config'],
  },
  {
    name: 'a configuration file that is not there',
    code: 'E_CONFIG_MISSING',
    exitCode: 3,
    says: '/nowhere/config.yaml',
    args: () => ['node', 'start', '--config', '/nowhere/config.yaml'],
  },
  {
    name: 'a directory as configuration file',
    code: 'E_CONFIG_MISSING',
    exitCode: 3,
    says: `${directory} (EISDIR)`,
    args: () => ['node', 'start', '--config', directory],
  },
]

const configuration: Case[] = [
  { name: 'an unknown key', says: /:\d+:\d+: nodeAdress .*nodeAddress/, config: () => ({ nodeAdress: '10.1.0.1' }) },
  { name: 'a missing key', says: 'publishedRanges is missing', config: () => ({ publishedRanges: undefined }) },
  { name: 'a wrong type', says: /capacity is "much"; .*number/, config: () => ({ capacity: 'much' }) },
  {
    name: 'an allowed node that is none',
    says: /gossip\.allow\[0\] is "h2"; .*12D3KooW/,
    config: () => ({ gossip: { allow: ['h2'] } }),
  },
  {
    name: 'metrics on a published address',
    says: /metrics\.listen is "10\.1\.0\.97:9600", inside publishedRanges/,
    config: () => ({ metrics: { listen: '10.1.0.97:9600' } }),
  },
  { name: 'a port that is none', says: 'gossip.port is 70000', config: () => ({ gossip: { port: 70_000 } }) },
  {
    name: 'udp, which is not there yet',
    says: /services\[0\]\.protocol is "udp"; .*tcp/,
    config: () => ({ services: [{ protocol: 'udp', port: 53 }] }),
  },
  {
    name: 'a published address outside publishedRanges',
    says: /published\[0\] is "10\.7\.0\.1", outside publishedRanges/,
    config: () => ({ published: ['10.7.0.1'] }),
  },
  {
    name: 'the node address published',
    says: /published\[0\] is "10\.1\.0\.1", the nodeAddress/,
    config: () => ({ published: ['10.1.0.1'], publishedRanges: ['10.1.0.0/24'] }),
  },
  {
    name: 'YAML that is none',
    says: 'no valid YAML',
    args: () => ['node', 'start', '--config', file('broken.yaml', 'name: [h1\n', 0o644)],
  },
].map((row) => ({ code: 'E_CONFIG_INVALID', exitCode: 4, ...row }))

const files: Case[] = [
  {
    name: 'no cluster key file',
    code: 'E_CLUSTER_KEY_MISSING',
    exitCode: 13,
    says: '/nowhere/cluster.key',
    config: () => ({ clusterKeyFile: '/nowhere/cluster.key' }),
  },
  {
    name: 'another cluster key that is not there',
    code: 'E_CLUSTER_KEY_MISSING',
    exitCode: 13,
    says: '/nowhere/other.key',
    config: () => ({ gossip: { otherClusterKeyFiles: ['/nowhere/other.key'] } }),
  },
  {
    name: 'a cluster key that is none',
    code: 'E_CLUSTER_KEY_INVALID',
    exitCode: 14,
    says: 'garbage.key',
    config: () => ({ clusterKeyFile: file('garbage.key', 'open sesame\n') }),
  },
  {
    name: 'a directory as cluster key file',
    code: 'E_CLUSTER_KEY_INVALID',
    exitCode: 14,
    says: 'key.d is no file',
    config: () => {
      mkdirSync(join(directory, 'key.d'), { mode: 0o700, recursive: true })
      return { clusterKeyFile: join(directory, 'key.d') }
    },
  },
  {
    name: 'a cluster key that everybody may read',
    code: 'E_CLUSTER_KEY_EXPOSED',
    exitCode: 15,
    says: /exposed\.key has mode 0644.*chmod 600/,
    config: () => ({ clusterKeyFile: file('exposed.key', newClusterKey(), 0o644) }),
  },
  {
    name: 'an identity that is none',
    code: 'E_GOSSIP_IDENTITY',
    exitCode: 38,
    says: 'identity',
    prepare: async () => {
      mkdirSync(state, { mode: 0o700 })
      file('state/identity.key', 'nobody')
      return () => undefined
    },
  },
  {
    name: 'a journal that is none',
    code: 'E_JOURNAL',
    exitCode: 28,
    says: join(runtime, 'host.json'),
    prepare: async () => {
      mkdirSync(runtime, { mode: 0o700 })
      file('run/host.json', '{}')
      return () => undefined
    },
  },
  {
    name: 'a runtime directory that cannot be written',
    code: 'E_FILE_UNWRITABLE',
    exitCode: 24,
    says: `${readOnly}/run`,
    config: () => ({ runtimeDirectory: `${readOnly}/run` }),
    wrapper: withMounts(`mount -t tmpfs -o ro none ${readOnly}`),
  },
  {
    name: 'a state directory that cannot be written',
    code: 'E_FILE_UNWRITABLE',
    exitCode: 24,
    says: `${readOnly}/state`,
    config: () => ({ stateDirectory: `${readOnly}/state` }),
    wrapper: withMounts(`mount -t tmpfs -o ro none ${readOnly}`),
  },
  {
    name: 'a file where the control socket should be',
    code: 'E_FILE_EXISTS',
    exitCode: 23,
    says: join(runtime, 'control.sock'),
    prepare: async () => {
      mkdirSync(runtime, { mode: 0o700 })
      file('run/control.sock', 'mine')
      return () => undefined
    },
  },
]

const host: Case[] = [
  {
    name: 'a node address that no interface has',
    code: 'E_ADDRESS_NOT_LOCAL',
    exitCode: 5,
    says: /nodeAddress 10\.1\.0\.77 .*eth0 10\.1\.0\.1\/24/,
    config: () => ({ nodeAddress: '10.1.0.77' }),
  },
  {
    name: 'an interface that is not there',
    code: 'E_INTERFACE_UNKNOWN',
    exitCode: 6,
    says: /attachments\[0\]\.interface eth7 .*eth0/,
    config: () => ({ attachments: [{ interface: 'eth7' }] }),
  },
  {
    name: 'no root',
    code: 'E_NOT_ROOT',
    exitCode: 8,
    says: /CAP_NET_ADMIN.*root/,
    wrapper: ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'],
  },
  {
    name: 'no /dev/net/tun',
    code: 'E_NO_TUN',
    exitCode: 9,
    says: '/dev/net/tun',
    wrapper: withMounts('mount -t tmpfs none /dev/net'),
  },
  {
    name: 'a /dev/net/tun that is another device',
    code: 'E_NO_TUN',
    exitCode: 9,
    says: '/dev/net/tun',
    wrapper: withMounts('mount --bind /dev/null /dev/net/tun'),
  },
  { name: 'no ip', code: 'E_TOOL_MISSING_IP', exitCode: 10, says: /command ip .*iproute2/, wrapper: without('ip') },
  { name: 'no tc', code: 'E_TOOL_MISSING_TC', exitCode: 11, says: /command tc .*iproute2/, wrapper: without('tc') },
  { name: 'no nft', code: 'E_TOOL_MISSING_NFT', exitCode: 12, says: /command nft .*nftables/, wrapper: without('nft') },
  {
    name: 'a read-only /proc/sys',
    code: 'E_SYSCTL',
    exitCode: 27,
    says: 'arp_ignore',
    wrapper: withMounts('mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys'),
  },
  {
    name: 'the gossip port in use',
    code: 'E_GOSSIP_PORT_IN_USE',
    exitCode: 18,
    says: '10.1.0.1:7600',
    prepare: listener(7_600),
  },
  {
    name: 'the port of metrics in use',
    code: 'E_METRICS_LISTEN',
    exitCode: 44,
    says: /10\.1\.0\.1:9600: the port is taken; ss .*:9600/,
    config: () => ({ metrics: { listen: '10.1.0.1:9600' } }),
    prepare: listener(9_600),
  },
  {
    name: 'metrics on an address of another host',
    code: 'E_METRICS_LISTEN',
    exitCode: 44,
    says: '10.2.0.1:9600: no such address here',
    config: () => ({ metrics: { listen: '10.2.0.1:9600' } }),
  },
  {
    name: 'a device of that name',
    code: 'E_ENGINE',
    exitCode: 33,
    says: /dpr0 .*datapath\.device/,
    prepare: inHost('ip link add dpr0 type bridge', 'ip link del dpr0'),
  },
  {
    name: "an operator's own TAP of that name",
    code: 'E_ENGINE',
    exitCode: 33,
    says: /dpr0 .*datapath\.device/,
    prepare: inHost('ip tuntap add dpr0 mode tap', 'ip link del dpr0'),
  },
  {
    name: "somebody else's filter at our preference",
    code: 'E_FILTER_TAKEN',
    exitCode: 29,
    says: /eth0 .*48101/,
    prepare: inHost(
      'tc qdisc add dev eth0 clsact; tc filter add dev eth0 ingress protocol ip pref 48101 u32 match ip dst 10.9.9.9/32 classid 1:1',
      'tc qdisc del dev eth0 clsact',
    ),
  },
]

const cluster: Case[] = [
  {
    name: 'another cluster key than that of the seeds',
    code: 'E_CLUSTER_KEY_REFUSED',
    exitCode: 16,
    says: /10\.2\.0\.1:7600.*other\.key/,
    config: () => ({ clusterKeyFile: file('other.key', newClusterKey()) }),
  },
  {
    name: 'another cluster key, and seeds of which one is ourselves and one is silent',
    code: 'E_CLUSTER_KEY_REFUSED',
    exitCode: 16,
    says: /10\.2\.0\.1:7600.*other\.key/,
    config: () => ({
      clusterKeyFile: file('other.key', newClusterKey()),
      gossip: { seeds: ['10.1.0.1:7600', '10.2.0.1:7600', '10.2.0.77:7600'] },
    }),
  },
]

describe.each([
  ['command line', commandLine],
  ['configuration', configuration],
  ['files', files],
  ['host', host],
  ['cluster', cluster],
] as const)('%s', (_, cases) => {
  it.each(cases)('$name: $code', async ({ code, exitCode, says, config, args, wrapper, prepare }) => {
    for (const path of [runtime, state]) rmSync(path, { recursive: true, force: true })
    const options: StartOptions = wrapper === undefined ? {} : { wrapper }
    if (args !== undefined) options.args = args()
    else {
      const changes = { runtimeDirectory: runtime, stateDirectory: state, ...config?.() }
      options.config = writeConfig(lab, 'h1', join(directory, 'config.yaml'), changes)
    }
    const back = await prepare?.()
    if (back !== undefined) onTestFinished(async () => void (await back()))

    const before = await hostPicture(lab, 'h1', runtime)
    const daemon = startNode(lab, 'h1', options)
    // One that runs after all must not spoil the cases after it.
    const overdue = setTimeout(() => daemon.kill('SIGTERM'), END_MS)
    onTestFinished(() => clearTimeout(overdue))
    expect(await daemon.ended, daemon.stderr()).toEqual({ code: exitCode, signal: null })
    expect(daemon.stderr()).toMatch(/^dpr: [A-Z_]+: [^\n]+; [^\n]+\n$/)
    expect(daemon.stderr()).toMatch(new RegExp(`^dpr: ${code}: `))
    expect(daemon.stderr()).toMatch(says)
    expect(ERROR_CODES[code].exitCode).toBe(exitCode)
    expect(await hostPicture(lab, 'h1', runtime)).toEqual(before)
  })
})

it('the other daemon has not noticed, or says so politely', async () => {
  expect(other.isRunning()).toBe(true)
  const living = async () =>
    (await lab.peers('h2')).filter(({ status }) => status === 'alive' || status === 'suspect').map(({ name }) => name)
  await eventually('nobody else alive', living, (names) => names.join() === 'h2')
  expect(logLines(lab, 'h2').filter(({ level }) => !['info', 'warn'].includes(level))).toEqual([])
  const config = writeConfig(lab, 'h1', join(directory, 'good.yaml'), { runtimeDirectory: runtime })
  rmSync(runtime, { recursive: true, force: true })
  const good = startNode(lab, 'h1', { config })
  onTestFinished(() => good.kill('SIGKILL'))
  // Those that were refused late have left under identities of their own.
  const alive = async () => (await lab.peers('h2')).filter(({ status }) => status === 'alive').map(({ name }) => name)
  await eventually('alive', alive, (names) => names.includes('h1'))
  expect((await stopNode(good)).code).toBe(0)
  expect(filesIn(runtime)).toEqual([])
})

it('a stranger with another key is in nobody’s peers, and costs a line a minute', async () => {
  await stopNode(other)
  const seeds = (...addresses: string[]) => ({ gossip: { seeds: addresses.map((address) => `${address}:7600`) } })
  const strange = { clusterKeyFile: file('other.key', newClusterKey()), ...seeds('10.2.0.1') }
  // The seed is down, so nobody refuses the key at the start.
  const stranger = await startedNode(lab, 'h1', { config: writeConfig(lab, 'h1', join(directory, 's.yaml'), strange) })
  const since = { h1: logLines(lab, 'h1').length, h2: logLines(lab, 'h2').length }
  other = await startedNode(lab, 'h2', { config: writeConfig(lab, 'h2', join(directory, 'o.yaml'), seeds()) })

  const lines = (name: 'h1' | 'h2') =>
    logLines(lab, name)
      .slice(since[name])
      .filter(({ event }) => event === 'stranger')
  await eventually(
    'a line about the stranger',
    () => lines('h2').length,
    (count) => count > 0,
  )
  const end = performance.now() + STRANGER_WATCH_MS
  while (performance.now() < end) {
    for (const name of ['h1', 'h2']) expect((await lab.peers(name)).map((peer) => peer.name)).toEqual([name])
    await sleep(200)
  }
  // At most one for whoever dials us from there, and one for the address that is a seed, or remembered, and dialled.
  for (const [name, other] of [
    ['h2', '10.1.0.1'],
    ['h1', '10.2.0.1'],
  ] as const) {
    const told = lines(name).map(({ address }) => String(address))
    expect(new Set(told).size, `${name}: ${told.join()}`).toBe(told.length)
    expect(told.filter((address) => ![other, `${other}:7600`].includes(address))).toEqual([])
  }
  expect(await stopNode(stranger)).toEqual({ code: 0, signal: null })
})
