import { readdirSync, readlinkSync } from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { HostPlan } from '../../../datapath/host/plan.ts'
import { createTestHost, DEVICE, guardPid, isAlive, until } from './namespaces.ts'
import type { HostProgram, TestHost } from './namespaces.ts'

const P1 = '10.77.0.101'
const P2 = '10.77.0.102'
const PEER = join(import.meta.dirname, 'tcp-peer.ts')

let host: TestHost
let plan: HostPlan
beforeEach(() => {
  host = createTestHost()
  plan = { device: DEVICE, interfaces: [host.eth0], publishedAddresses: [P1], clamps: [] }
})
afterEach(() => host.destroy())

/** The device is never read: whatever is steered disappears. */
async function steering(): Promise<HostProgram> {
  const program = host.program()
  await program.must({ do: 'repair' })
  await program.must({ do: 'tap' })
  await program.must({ do: 'prepare', plan })
  await program.must({ do: 'deviceReady' })
  await program.must({ do: 'steer', plan })
  return program
}

const filters = () => host.run('tc filter show dev eth0 ingress')
const tables = () => host.run('nft list tables')
const guardIsGone = (pid: number) => until('the guard is gone', () => !isAlive(pid))

describe('when the daemon is killed', () => {
  it('a connection to the own server, black-holed before, goes on; redirected flows are spared resets', async () => {
    await (await preparedOnly()).kill()
    host.runInClient(`ip neigh replace ${P1} lladdr ${host.eth0.mac} dev eth0`)
    const server = host.start([process.execPath, PEER, 'serve', P1, '80'])
    await once(server.stdout!, 'data')
    const client = host.start([process.execPath, PEER, 'talk', P1, '80'], 'client')
    let said = ''
    client.stdout!.on('data', (chunk: Buffer) => (said += chunk.toString()))
    const echoes = () => said.match(/echo/g)?.length ?? 0
    await until('the connection talks', () => echoes() > 5)

    const program = await steering()
    const guard = guardPid(host)
    await delay(100) // what was on its way
    const stuck = echoes()
    await delay(600) // three times the shortest retransmission timeout: a hole, not a loss
    expect(echoes()).toBe(stuck)

    await program.kill()
    await until('the connection talks again', () => echoes() > stuck + 5)
    expect(said).not.toMatch(/error|closed/)
    await guardIsGone(guard)
    expect(filters()).toBe('')
    expect(host.run('nft list table ip dpr_guard')).toMatch(/10\.77\.0\.101 expires \d+s/)
  })

  async function preparedOnly(): Promise<HostProgram> {
    const program = host.program()
    await program.must({ do: 'prepare', plan })
    return program
  }

  it('it knows what the last update said', async () => {
    const program = await steering()
    await program.must({ do: 'update', plan: { ...plan, publishedAddresses: [P1, P2] } })
    await program.must({ do: 'update', plan: { ...plan, publishedAddresses: [P2] } })
    const guard = guardPid(host)
    await program.kill()
    await guardIsGone(guard)
    expect(filters()).toBe('')
    const rule = host.run('nft list table ip dpr_guard')
    expect(rule).toContain(P2)
    expect(rule).not.toContain(P1)
  })

  it("only our filters go: those of others and clsact stay, and others' tables", async () => {
    host.run(`tc qdisc add dev eth0 clsact
      tc filter add dev eth0 ingress protocol ip pref 48100 u32 match ip dst 10.9.9.9/32 classid 1:1
      tc filter add dev eth0 egress protocol ip pref 48101 u32 match ip dst 10.9.9.9/32 classid 1:1
      nft 'table ip other { chain c { type filter hook output priority 0; counter; }; }'`)
    const program = await steering()
    const guard = guardPid(host)
    await program.kill()
    await guardIsGone(guard)
    expect(filters()).toMatch(/pref 48100 /)
    expect(filters()).not.toMatch(/pref 4810[12] /)
    expect(host.run('tc filter show dev eth0 egress')).toContain('pref 48101')
    expect(tables()).toContain('table ip other')
  })

  it('the next daemon takes over: it steers again, resets stay held back until it settles, undo leaves nothing', async () => {
    const before = host.state()
    await (await steering()).kill()
    const next = await steering()
    expect(filters()).toContain(`device ${DEVICE}`)
    expect(isAlive(guardPid(host))).toBe(true)
    expect(tables()).toContain('dpr_guard')
    await next.must({ do: 'settle' })
    expect(tables()).toBe('')
    await next.must({ do: 'undo' })
    await next.kill()
    expect(host.state()).toBe(before)
  })

  it('a guard that is late does not open the steering of the next daemon', async () => {
    const program = await steering()
    const late = guardPid(host)
    process.kill(-late, 'SIGSTOP')
    await program.kill()
    await steering()
    expect(isAlive(late)).toBe(false)
    expect(guardPid(host)).not.toBe(late)
    expect(filters()).toContain(`device ${DEVICE}`)
  })

  it('the fallback decapsulator stays when the steering opens, and goes with the undo of a later daemon', async () => {
    const before = host.state()
    const program = await steering()
    await program.must({ do: 'fallback', plan })
    const guard = guardPid(host)
    await program.kill()
    await guardIsGone(guard)
    expect(filters()).toMatch(/pref 48120 bpf .*dpr-decap/)
    const next = host.program()
    await next.must({ do: 'repair' })
    expect(filters()).toContain('dpr-decap')
    await next.must({ do: 'undo' })
    expect(host.state()).toBe(before)
  })

  it('when even the guard is dead, the next daemon repairs', async () => {
    const program = await steering()
    const guard = guardPid(host)
    program.child.kill('SIGSTOP')
    process.kill(-guard, 'SIGKILL')
    await guardIsGone(guard)
    await program.kill()
    expect(filters()).toContain('device *')
    const next = host.program()
    await next.must({ do: 'repair' })
    expect(filters()).toBe('')
    expect(tables()).toContain('dpr_guard')
    await next.must({ do: 'repair' })
    await next.must({ do: 'undo' })
    expect(tables()).toBe('')
  })

  it('from outside, as after a stop by the service manager: open, for a daemon and a guard that are both dead', async () => {
    const program = await steering()
    const guard = guardPid(host)
    program.child.kill('SIGSTOP')
    process.kill(-guard, 'SIGKILL')
    await guardIsGone(guard)
    await program.kill()
    await host.program().must({ do: 'open', holdResets: true })
    expect(filters()).toBe('')
    expect(host.run('nft list table ip dpr_guard')).toContain(P1)
  })
})

describe('while the daemon lives', () => {
  it.each(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGPIPE', 'SIGUSR1', 'SIGTSTP'] as const)(
    'the guard survives %s, to itself and to its group, and still fires',
    async (signal) => {
      const program = await steering()
      const guard = guardPid(host)
      process.kill(guard, signal)
      process.kill(-guard, signal)
      await program.must({ do: 'update', plan: { ...plan, publishedAddresses: [P1, P2] } })
      expect(guardPid(host)).toBe(guard)
      await program.kill()
      await guardIsGone(guard)
      expect(filters()).toBe('')
    },
  )

  it('a killed guard is replaced, and the new one fires', async () => {
    const program = await steering()
    const first = guardPid(host)
    process.kill(first, 'SIGKILL')
    await until('another guard is in the journal', () => guardPid(host) !== first)
    const second = guardPid(host)
    expect(isAlive(second)).toBe(true)
    expect(filters()).toContain(`device ${DEVICE}`)
    await program.kill()
    await guardIsGone(second)
    expect(filters()).toBe('')
  })

  it('the guard holds no descriptor of the daemon but its two pipes', async () => {
    await steering()
    const linkOf = (pid: number | 'self', descriptor: string) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${descriptor}`)
      } catch {
        return undefined
      }
    }
    const guard = guardPid(host)
    const opened = readdirSync(`/proc/${guard}/fd`)
    // What this test itself was started with goes through every process to the guard, and is not the daemon's.
    expect(opened.filter((one) => linkOf(guard, one) !== linkOf('self', one))).toEqual(['0', '1', '2'])
  })

  it('it has a session of its own', async () => {
    const program = await steering()
    const [own, daemon] = [guardPid(host), program.pid].map((pid) => host.run(`ps -o sid= -p ${pid}`).trim())
    expect(own).toBe(String(guardPid(host)))
    expect(daemon).not.toBe(own)
  })
})

it.each(['open', 'undo'] as const)('after %s the guard goes without effect', async (step) => {
  const program = await steering()
  const guard = guardPid(host)
  await program.must(step === 'open' ? { do: 'open', holdResets: false } : { do: 'undo' })
  expect(isAlive(guard)).toBe(false)
  // Filters that came after must not be touched by anything that is still at work.
  host.run(`tc qdisc replace dev eth0 clsact
    tc filter add dev eth0 ingress protocol ip pref 48101 u32 match ip dst 10.9.9.9/32 classid 1:1`)
  await program.kill()
  expect(tables()).toBe('')
  expect(filters()).toContain('pref 48101')
})
