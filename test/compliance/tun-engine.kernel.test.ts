import { execFileSync } from 'node:child_process'
import { expect, it } from 'vitest'
import { parseIpv4, parseMac } from '../../datapath/packet/bytes.ts'
import { TunEngine, type TunEngineOptions } from '../../datapath/tun/tun-engine.ts'
import { engineCompliance } from './engine-suite.ts'
import { enterOwnNetworkNamespace } from './own-namespace.ts'

enterOwnNetworkNamespace()
execFileSync('ip', ['link', 'set', 'lo', 'up'])
execFileSync('ip', ['link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'peer0'])
for (const name of ['eth0', 'peer0']) execFileSync('ip', ['link', 'set', name, 'up'])
const link = (
  JSON.parse(execFileSync('ip', ['-j', 'link', 'show', 'eth0'], { encoding: 'utf8' })) as {
    ifindex: number
    address: string
  }[]
)[0]!

function options(changes: Partial<TunEngineOptions> = {}): TunEngineOptions {
  return {
    device: 'dpr0',
    links: [{ name: 'eth0', ifindex: link.ifindex, mac: parseMac(link.address), address: parseIpv4('10.1.0.1') }],
    flowTableEntries: 1_024,
    hashKey: new Uint8Array(16),
    announce: { scheduleMs: [0, 200, 1_000, 3_000], everyMs: 5_000 },
    ...changes,
  }
}

const hasDevice = (name: string): boolean =>
  execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' }).includes(` ${name}: `)

engineCompliance('tun', () => new TunEngine(options()))

it('removes its device when it closes', async () => {
  const engine = new TunEngine(options())
  await engine.open()
  expect(hasDevice('dpr0')).toBe(true)
  await engine.close()
  expect(hasDevice('dpr0')).toBe(false)
})

it('says that the device is taken, and leaves nothing behind', async () => {
  const first = new TunEngine(options())
  const second = new TunEngine(options())
  await first.open()
  await expect(second.open()).rejects.toMatchObject({ code: 'E_ENGINE', message: /dpr0 is in use/ })
  await first.close()
  await second.open()
  await second.close()
})

it('says which socket could not be opened when the interface is gone', async () => {
  const engine = new TunEngine(options({ links: [{ ...options().links[0]!, ifindex: 9_999 }] }))
  await expect(engine.open()).rejects.toMatchObject({ code: 'E_ENGINE', message: /interface 9999/ })
  expect(hasDevice('dpr0')).toBe(false)
})
