/** An engine without packets: the real core and table behind the engine's seam, for tests of what publishes to it. */
import { RewritingCore } from '../../datapath/core.ts'
import { COUNTER, readEngineState, sharedCounters, sharedCountersBuffer } from '../../datapath/counters.ts'
import type { Engine, EngineState, FlowEntry } from '../../datapath/engine.ts'
import { boottimeMs } from '../../datapath/linux/libc.ts'
import { sipKey } from '../../datapath/siphash.ts'
import type { Snapshot } from '../../datapath/snapshot.ts'
import { exportFlows, importFlows } from '../../datapath/tun/flow-transfer.ts'

export class FakeEngine implements Engine {
  readonly kind = 'tun'
  #shared = sharedCounters(sharedCountersBuffer())
  #core: RewritingCore | undefined

  async open(): Promise<void> {
    if (this.#core !== undefined) throw new Error('the engine is open already')
    this.#shared = sharedCounters(sharedCountersBuffer())
    const key = sipKey(new Uint8Array(16))
    this.#core = new RewritingCore({ flowTableEntries: 1_024, key, ownAddresses: [], shared: this.#shared })
  }

  async close(): Promise<void> {
    this.#core = undefined
  }

  publish(snapshot: Snapshot): void {
    // Serialised as for a worker: a snapshot that does not survive this is a mistake.
    this.#core?.publish(structuredClone(snapshot), boottimeMs())
    this.renewLease(snapshot.leaseUntilMs)
  }

  renewLease(untilMs: number): void {
    this.#shared.values[COUNTER.leaseUntilMs] = untilMs
  }

  correctLocalEstablished(count: number): void {
    this.#core?.correctLocalEstablished(count)
  }

  state(): EngineState {
    this.#core?.tick(boottimeMs())
    this.#shared.values[COUNTER.heartbeatMs] = boottimeMs()
    return readEngineState(this.#shared)
  }

  async exportFlows(limit: number): Promise<FlowEntry[]> {
    return this.#core === undefined ? [] : exportFlows(this.#core.flows, this.#core.routing.self, limit)
  }

  async importFlows(flows: FlowEntry[]): Promise<number> {
    return this.#core === undefined ? 0 : importFlows(this.#core.flows, this.#core.routing, flows, boottimeMs())
  }

  onFailure(): void {
    // It has no thread that could fail.
  }
}
