/** What every engine promises, as one suite: it runs on the real ones and on the fake. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { DROP_REASONS } from '../../datapath/counters.ts'
import type { Engine, FlowEntry } from '../../datapath/engine.ts'
import { boottimeMs } from '../../datapath/linux/libc.ts'
import { parseIpv4 } from '../../datapath/packet/bytes.ts'
import type { Snapshot } from '../../datapath/snapshot.ts'
import { B, C, member, P1, SELF, tableOf } from '../datapath/core-harness.ts'

const DEADLINE = { timeout: 5_000, interval: 5 }

export function complianceSnapshot(version: number, changes: Partial<Snapshot> = {}): Snapshot {
  return {
    version,
    self: SELF,
    members: [
      member('a', '10.1.0.1', { mode: 'self' }),
      member('b', '10.1.0.2'),
      member('c', '10.2.0.1', { mode: 'ipip', ifindex: 0 }),
    ],
    addresses: [{ address: parseIpv4(P1), role: 'other', orphans: { do: 'local' } }],
    services: [{ protocol: 6, port: 80, table: 0 }],
    tables: [tableOf()],
    leaseUntilMs: boottimeMs() + 60_000,
    ...changes,
  }
}

function flowOf(clientPort: number, destination: number, state: FlowEntry['state'] = 'established'): FlowEntry {
  return {
    protocol: 6,
    clientAddress: parseIpv4('10.9.0.9'),
    clientPort,
    publishedAddress: parseIpv4(P1),
    publishedPort: 80,
    destination,
    state,
  }
}

export function engineCompliance(name: string, make: () => Engine): void {
  describe(`engine compliance: ${name}`, () => {
    let engine: Engine
    const version = (wanted: number): Promise<void> =>
      vi.waitFor(() => expect(engine.state().snapshotVersion).toBe(wanted), DEADLINE)

    beforeEach(async () => {
      engine = make()
      await engine.open()
    })
    afterEach(async () => {
      await engine.close()
    })

    it('starts with version 0 and every counter at 0', () => {
      const state = engine.state()
      expect([state.snapshotVersion, state.activeFlows, state.flowEntries]).toEqual([0, 0, 0])
      expect(Object.keys(state.counters.drops).sort()).toEqual([...DROP_REASONS].sort())
      expect(state.counters.packetsDropped).toBe(0)
    })

    it('echoes the version of the snapshot in force and ignores an older one', async () => {
      engine.publish(complianceSnapshot(3))
      await version(3)
      engine.publish(complianceSnapshot(2))
      engine.publish(complianceSnapshot(4))
      await version(4)
    })

    it('gives back the flows that it was given', async () => {
      engine.publish(complianceSnapshot(1))
      const flows = [flowOf(1, SELF), flowOf(2, B), flowOf(3, C, 'half-open'), flowOf(4, B, 'fin'), flowOf(5, C, 'rst')]
      expect(await engine.importFlows(flows)).toBe(5)
      const exported = await engine.exportFlows(100)
      expect(exported.sort((a, b) => a.clientPort - b.clientPort)).toEqual(flows)
      expect(await engine.exportFlows(2)).toHaveLength(2)
    })

    it('refuses flows of members that the snapshot does not hold', async () => {
      engine.publish(complianceSnapshot(1))
      expect(await engine.importFlows([flowOf(1, 7), flowOf(2, B)])).toBe(1)
    })

    it('replaces a flow that is imported again', async () => {
      engine.publish(complianceSnapshot(1))
      await engine.importFlows([flowOf(1, B)])
      await engine.importFlows([flowOf(1, C)])
      expect(await engine.exportFlows(10)).toEqual([flowOf(1, C)])
    })

    it('counts established flows here and at each member', async () => {
      engine.publish(complianceSnapshot(1))
      await engine.importFlows([flowOf(1, SELF), flowOf(2, B), flowOf(3, B), flowOf(4, C), flowOf(5, C, 'fin')])
      await vi.waitFor(() => {
        const state = engine.state()
        expect([state.activeFlows, state.flowsByMember[B], state.flowsByMember[C], state.flowEntries]).toEqual([
          1, 2, 1, 5,
        ])
      }, DEADLINE)
    })

    it('lets the kernel correct the count of local flows', async () => {
      engine.publish(complianceSnapshot(1))
      engine.correctLocalEstablished(42)
      await vi.waitFor(() => expect(engine.state().activeFlows).toBe(42), DEADLINE)
    })

    it('shows a sign of life', async () => {
      const before = engine.state().heartbeatMs
      await vi.waitFor(() => expect(engine.state().heartbeatMs).toBeGreaterThan(before), DEADLINE)
    })

    it('closes twice, and opens again', async () => {
      await engine.close()
      await engine.close()
      await engine.open()
      engine.publish(complianceSnapshot(9))
      await version(9)
    })
  })
}
