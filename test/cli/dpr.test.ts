import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { COMMANDS } from '../../cli/commands.ts'
import { createControlServer } from '../../node/control-server.ts'
import type { ControlServer } from '../../node/control-server.ts'
import { VERSION } from '../../node/version.ts'
import { peer, status } from '../node/control-fixtures.ts'
import { runDpr } from './run-dpr.ts'

let dir: string
let socketPath: string
let server: ControlServer

const PEERS = [peer('h1', { self: true, mode: 'self' }), peer('h2', { status: 'suspect' })]

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'dpr-cli-'))
  socketPath = join(dir, 'control.sock')
  server = createControlServer({ socketPath, peers: () => PEERS, status: () => status() })
  await server.start()
})
afterAll(async () => {
  await server.stop()
  rmSync(dir, { recursive: true, force: true })
})

describe('asking a daemon', () => {
  test('peers and status as tables, without colours where there is no terminal', async () => {
    const peers = await runDpr(['peers', '--socket', socketPath])
    expect(peers).toMatchObject({ exitCode: 0, stderr: [] })
    expect(peers.stdout.split('\n')[2]).toMatch(/^h2 +suspect +10\.1\.0\.1 +0\.25 +12 +mac +yes /u)
    expect(peers.stdout).not.toContain('\u001B')
    const shown = await runDpr(['status'], { DPR_SOCKET: socketPath })
    expect(shown).toMatchObject({ exitCode: 0, stderr: [] })
    expect(shown.stdout).toMatch(/^steering +on$/mu)
  })

  test('--json is exactly what the control API says', async () => {
    const peers = await runDpr(['peers', '--json', '--socket', socketPath])
    expect(JSON.parse(peers.stdout)).toEqual(PEERS)
    const shown = await runDpr(['status', '--json'], { DPR_SOCKET: socketPath })
    expect(JSON.parse(shown.stdout)).toEqual(status())
  })
})

describe('what is wrong is one line on stderr and an exit code', () => {
  const rows: [line: string, exitCode: number, stderr: string[]][] = [
    [
      'peers --socket /nowhere/s',
      20,
      [
        'dpr: E_SOCKET_UNREACHABLE: GET /v1/peers on /nowhere/s: there is no such socket; is `dpr node start` running? name its socket with --socket or DPR_SOCKET',
      ],
    ],
    ['peers --jsn', 2, ['dpr: E_USAGE: dpr peers: unknown flag --jsn; did you mean --json?']],
    [
      'peers --jsn --scket=/x --frobnicate',
      2,
      [
        'dpr: E_USAGE: dpr peers: unknown flag --jsn; did you mean --json?',
        'dpr: E_USAGE: dpr peers: unknown flag --scket; did you mean --socket?',
        'dpr: E_USAGE: dpr peers: unknown flag --frobnicate; dpr peers --help lists what it takes',
      ],
    ],
    ['peers x', 2, ['dpr: E_USAGE: dpr peers: unexpected argument x; dpr peers --help lists what it takes']],
    [
      'status --socket',
      2,
      ['dpr: E_USAGE: dpr status: Flag --socket expects a value; dpr status --help lists what it takes'],
    ],
    ['node start --nam h1', 2, ['dpr: E_USAGE: dpr node start: unknown flag --nam; did you mean --name?']],
    ['perrs', 2, ['dpr: E_USAGE: unknown command "perrs"; did you mean dpr peers?']],
    ['node', 0, []],
    ['node --name h1', 2, ['dpr: E_USAGE: dpr node needs a command; use dpr node start']],
    [
      'node start --config /nowhere/c.yaml',
      3,
      [
        'dpr: E_CONFIG_MISSING: no configuration file at /nowhere/c.yaml; write one with dpr init, or name it with --config or DPR_CONFIG',
      ],
    ],
  ]
  test.each(rows)('dpr %s', async (line, exitCode, stderr) => {
    expect(await runDpr(line.split(' '))).toMatchObject({ exitCode, stderr })
  })

  test('every problem of a configuration has its line, with its origin', async () => {
    const file = join(dir, 'bad.yaml')
    writeFileSync(file, 'name: h1\npublishedRanges: ["10.1.0.96/28"]\nservices: [{ protocol: tcp, port: 0 }]\n')
    const env = { DPR_CONFIG: file, DPR_GOSSIP_PORT: 'x', DPR_NODE_ADDRESS: '10.1.0.2' }
    const { exitCode, stderr } = await runDpr(['node', 'start', '--node-address', 'h1'], env)
    expect(exitCode).toBe(4)
    expect(stderr).toEqual([
      'dpr: E_CONFIG_INVALID: from --node-address: nodeAddress is "h1"; use a unicast IPv4 address such as 10.1.0.1',
      'dpr: E_CONFIG_INVALID: from DPR_GOSSIP_PORT: gossip.port is "x"; use a whole number from 1 to 65535',
      `dpr: E_CONFIG_INVALID: ${file}:3:35: services[0].port is 0; use a whole number from 1 to 65535`,
    ])
  })

  test('with DPR_DEBUG=1 the stack follows the line', async () => {
    const { stderr } = await runDpr(['peers', '--socket', '/nowhere/s'], { DPR_DEBUG: '1' })
    expect(stderr[0]).toMatch(/^dpr: E_SOCKET_UNREACHABLE: /u)
    expect(stderr.slice(1).join('\n')).toContain('control-client.ts')
  })
})

describe('help and version', () => {
  test('--version', async () => {
    const { stdout, exitCode } = await runDpr(['--version'])
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(new RegExp(`^dpr ${VERSION.replaceAll('.', '\\.')} \\(Node \\d+\\.\\d+\\.\\d+, linux-`, 'u'))
  })

  test('--help names every topic and every command without one', async () => {
    const { stdout, exitCode } = await runDpr(['--help'])
    expect(exitCode).toBe(0)
    for (const word of new Set(Object.keys(COMMANDS).map((id) => id.split(':')[0]!))) {
      expect(stdout).toMatch(new RegExp(`^  ${word} +[A-Z]`, 'mu'))
    }
  })

  test('the help of a command lists its flags', async () => {
    const { stdout, exitCode } = await runDpr(['node', 'start', '--help'])
    expect(exitCode).toBe(0)
    for (const flag of ['--config', '--name', '--node-address', '--gossip-port', '--seeds', '--log-level']) {
      expect(stdout).toContain(flag)
    }
  })
})

test('a command that only asks starts fast: the median of seven starts is reported', async () => {
  const times: number[] = []
  for (let run = 0; run < 7; run++) {
    const startMs = performance.now()
    await runDpr(['peers', '--socket', socketPath])
    times.push(performance.now() - startMs)
  }
  const median = times.toSorted((a, b) => a - b)[3]!
  console.log(`dpr peers, from start to exit: median ${median.toFixed(0)} ms`)
  expect(median).toBeGreaterThan(0)
})
