import { join } from 'node:path'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RESET_HOLD_SECONDS } from '../../../datapath/host/nft.ts'
import type { HostPlan } from '../../../datapath/host/plan.ts'
import { ACK, frame, SYN, tcp } from './frames.ts'
import { CLIENT_ADDRESS, createTestHost, DEVICE, HOST_ADDRESS, until } from './namespaces.ts'
import type { HostProgram, TestHost } from './namespaces.ts'

const P1 = '10.77.0.101'
const P2 = '10.77.0.102'
const ELSEWHERE = '10.77.0.200'
const FOREIGN_MAC = '02:00:00:00:77:55'
const MIDDLE_FRAGMENT = 0x20b9

let host: TestHost
let program: HostProgram
let plan: HostPlan
let clientIfindex: string

beforeAll(async () => {
  host = createTestHost()
  host.run('ip link set eth0 promisc on')
  clientIfindex = host.runInClient('ip -o link show eth0').split(':')[0]!
  plan = {
    device: DEVICE,
    interfaces: [host.eth0],
    publishedAddresses: [P1, P2],
    clamps: [{ address: P1, mss: 1_000 }],
  }
  program = host.program()
  await program.must({ do: 'tap' })
  await program.must({ do: 'prepare', plan })
  await program.must({ do: 'deviceReady' })
  await program.must({ do: 'steer', plan })
})
afterAll(() => host.destroy())

const syn = (to: string, sourcePort = 40_000) => tcp({ sourcePort, flags: SYN }, CLIENT_ADDRESS, to)

async function send(...frames: string[]): Promise<void> {
  const sender = host.start(
    [process.execPath, join(import.meta.dirname, 'send-frames.ts'), clientIfindex, ...frames],
    'client',
  )
  let complaints = ''
  sender.stderr!.on('data', (chunk: Buffer) => (complaints += chunk.toString()))
  const [code] = (await once(sender, 'close')) as [number]
  expect(complaints).toBe('')
  expect(code).toBe(0)
}

/** Sends frames, then one that is steered for certain; what came out before that one is the answer. */
let marks = 50_000
async function steeredOf(...frames: string[]): Promise<string[]> {
  const mark = frame({ to: P2, protocol: 6, payload: syn(P2, (marks += 1)) })
  await send(...frames, mark)
  const seen: string[] = []
  let asking: Promise<void> | undefined
  const collect = async () => {
    seen.push(...(await program.must({ do: 'frames' })))
    asking = undefined
  }
  await until('the mark is steered', () => {
    asking ??= collect()
    return seen.includes(mark)
  })
  await asking
  return seen.filter((one) => one !== mark)
}

describe('goes to the device, byte for byte', () => {
  it.each([
    ['TCP to a published address', frame({ to: P1, protocol: 6, payload: syn(P1) })],
    ['UDP to another one', frame({ to: P2, protocol: 17, payload: Buffer.from('9c4000350008000000', 'hex') })],
    [
      'a later fragment, without ports',
      frame({ to: P1, protocol: 6, fragment: MIDDLE_FRAGMENT, payload: Buffer.alloc(64, 7) }),
    ],
    ['an echo request', frame({ to: P1, protocol: 1, payload: Buffer.from('0800f7fd00010001', 'hex') })],
    ['an ICMP error', frame({ to: P1, protocol: 1, payload: Buffer.alloc(36, 3) })],
    ['protocol 4 to the node address', frame({ to: HOST_ADDRESS, protocol: 4, payload: Buffer.alloc(40, 1) })],
    [
      'a fragment of protocol 4',
      frame({ to: HOST_ADDRESS, protocol: 4, fragment: MIDDLE_FRAGMENT, payload: Buffer.alloc(40, 1) }),
    ],
    ['a full-sized packet', frame({ to: P1, protocol: 6, payload: Buffer.alloc(1_480, 9) })],
  ])('%s', async (_name, one) => {
    expect(await steeredOf(one)).toEqual([one])
  })
})

describe('stays in the path of the kernel', () => {
  it.each([
    ["a published address at another host's MAC", frame({ mac: FOREIGN_MAC, to: P1, protocol: 6, payload: syn(P1) })],
    ['a broadcast frame', frame({ mac: 'ff:ff:ff:ff:ff:ff', to: P1, protocol: 17, payload: Buffer.alloc(8) })],
    ['TCP to the node address', frame({ to: HOST_ADDRESS, protocol: 6, payload: syn(HOST_ADDRESS) })],
    [
      'a fragment to the node address',
      frame({ to: HOST_ADDRESS, protocol: 6, fragment: MIDDLE_FRAGMENT, payload: Buffer.alloc(64) }),
    ],
    ['an address that is not published', frame({ to: ELSEWHERE, protocol: 6, payload: syn(ELSEWHERE) })],
    [
      "protocol 4 at another host's MAC",
      frame({ mac: FOREIGN_MAC, to: HOST_ADDRESS, protocol: 4, payload: Buffer.alloc(40) }),
    ],
    ['protocol 4 to another address', frame({ to: ELSEWHERE, protocol: 4, payload: Buffer.alloc(40) })],
    ['another EtherType with the same bytes', frame({ etherType: 0x88b5, to: P1, protocol: 6, payload: syn(P1) })],
  ])('%s', async (_name, one) => {
    expect(await steeredOf(one)).toEqual([])
  })
})

it('the node address answers as before while published addresses are silent to ARP', async () => {
  const connecting = async (to: string) => {
    const script = `require('net').connect({ host: '${to}', port: 9 }).on('error', (error) => console.log(error.code))`
    const [answer] = (await once(host.start([process.execPath, '-e', script], 'client').stdout!, 'data')) as [Buffer]
    return answer.toString().trim()
  }
  expect(await connecting(HOST_ADDRESS)).toBe('ECONNREFUSED')
  expect(await connecting(P1)).toBe('EHOSTUNREACH')
})

describe('with the steering open', () => {
  const capture = (filter: string) => host.start(['tcpdump', '-lnni', 'eth0', '-c', '1', filter], 'client')

  /** The first packet that the client gets back, in tcpdump's words. */
  async function answerTo(one: string, filter: string): Promise<string> {
    const sniffer = capture(filter)
    let out = ''
    let err = ''
    sniffer.stdout!.on('data', (chunk: Buffer) => (out += chunk.toString()))
    sniffer.stderr!.on('data', (chunk: Buffer) => (err += chunk.toString()))
    await until('tcpdump listens', () => err.includes('listening on'))
    await send(one)
    await until(`an answer to ${filter}`, () => out.includes('\n'))
    return out
  }

  beforeAll(async () => {
    // The client has to know where to send; nobody announces here.
    host.runInClient(`for p in ${P1} ${P2}; do ip neigh replace $p lladdr ${host.eth0.mac} dev eth0; done`)
    const server = host.start([
      process.execPath,
      '-e',
      `require('net').createServer().listen(80, '0.0.0.0', () => console.log('up'))`,
    ])
    await once(server.stdout!, 'data')
    await program.must({ do: 'open', holdResets: true })
  })

  it.each([
    ['clamped', P1, 1_460, 'mss 1000'],
    ['below the clamp already', P1, 700, 'mss 1000'],
    ['not clamped', P2, 1_460, 'mss 1460'],
  ])('the MSS in the answer to a SYN is lowered only where asked: %s', async (_name, to, offered, expected) => {
    const options = Buffer.from([2, 4, offered >> 8, offered & 0xff])
    const sourcePort = 41_000 + offered + Number(to.at(-1))
    const segment = tcp({ sourcePort, flags: SYN, options }, CLIENT_ADDRESS, to)
    const answer = await answerTo(frame({ to, protocol: 6, payload: segment }), `src ${to} and dst port ${sourcePort}`)
    expect(answer).toContain('Flags [S.]')
    expect(answer).toContain(expected)
  })

  it('a clamp never raises what the server offers by itself', async () => {
    host.run(`ip route add ${CLIENT_ADDRESS}/32 dev eth0 advmss 600`)
    const segment = tcp({ sourcePort: 44_444, flags: SYN, options: Buffer.from([2, 4, 5, 0xb4]) }, CLIENT_ADDRESS, P1)
    const answer = await answerTo(frame({ to: P1, protocol: 6, payload: segment }), `src ${P1} and dst port 44444`)
    expect(answer).toContain('mss 600')
  })

  it('the reset for a flow that lives elsewhere is dropped, that of a refused connection passes', async () => {
    const dropped = () => Number(/counter packets (\d+)/.exec(host.run('nft list table ip dpr_guard'))![1])
    const before = dropped()
    await send(frame({ to: P1, protocol: 6, payload: tcp({ sourcePort: 45_000, flags: ACK }, CLIENT_ADDRESS, P1) }))
    await until('the reset is dropped', () => dropped() === before + 1)
    const refused = tcp({ sourcePort: 45_001, port: 81 }, CLIENT_ADDRESS, P1)
    expect(await answerTo(frame({ to: P1, protocol: 6, payload: refused }), `src ${P1} and dst port 45001`)).toContain(
      '[R.]',
    )
    expect(dropped()).toBe(before + 1)
  })

  it('resets pass again by themselves, and at once when the flows are settled', async () => {
    const expires = /10\.77\.0\.101 expires (?:1m|(\d+)s)/.exec(host.run('nft list table ip dpr_guard'))
    expect(Number(expires?.[1] ?? 60)).toBeLessThanOrEqual(RESET_HOLD_SECONDS)
    await program.must({ do: 'settle' })
    const orphan = tcp({ sourcePort: 45_002, flags: ACK }, CLIENT_ADDRESS, P1)
    expect(await answerTo(frame({ to: P1, protocol: 6, payload: orphan }), `src ${P1} and dst port 45002`)).toContain(
      '[R]',
    )
  })
})
