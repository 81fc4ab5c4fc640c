/**
 * Keeps the host in step with the cluster while the daemon runs: published addresses and steering, and what the kernel's
 * stand-in for our decapsulator knows, should this process die. A host that cannot follow is a warning, and tried again:
 * what it serves already it goes on serving.
 */
import type { FallbackDecap } from '../datapath/host/fallback-decap.ts'
import type { HostSetup } from '../datapath/host/host-setup.ts'
import type { HostPlan } from '../datapath/host/plan.ts'
import type { Membership } from '../gossip/types.ts'
import type { ControlPlane } from './control-plane.ts'
import type { HostAttachment } from './host-facts.ts'
import type { Logger } from './log.ts'
import type { Warnings } from './warnings.ts'

/** A plan that the host could not follow is tried again after this. */
const RETRY_MS = 1_000

export interface HostFollowerOptions {
  host: Pick<HostSetup, 'update'>
  control: Pick<ControlPlane, 'plan' | 'setAccepted'>
  membership: Pick<Membership, 'members' | 'version'>
  decap: Pick<FallbackDecap, 'attach' | 'setMembers' | 'setPublished'>
  /** What the host follows already. */
  plan: HostPlan
  log: Logger
  warnings: Warnings
}

export class HostFollower {
  readonly #host: HostFollowerOptions['host']
  readonly #control: HostFollowerOptions['control']
  readonly #membership: HostFollowerOptions['membership']
  readonly #decap: HostFollowerOptions['decap']
  readonly #log: Logger
  readonly #warnings: Warnings
  #plan: HostPlan | undefined
  /** What the fallback decapsulator was told last; undefined: it is to be told, or told again. */
  #fallbackFor: { plan: HostPlan; version: number } | undefined
  #changing: Promise<void> = Promise.resolve()
  #stopping = false

  constructor({ host, control, membership, decap, plan, log, warnings }: HostFollowerOptions) {
    this.#host = host
    this.#control = control
    this.#membership = membership
    this.#decap = decap
    this.#plan = plan
    this.#log = log
    this.#warnings = warnings
  }

  /** From now on the kernel can stand in for our decapsulator. */
  attach(plan: HostPlan, attachments: readonly HostAttachment[]): void {
    this.#fallback(plan, [], attachments)
  }

  /** Members come and go with their addresses: the host follows before anybody may send us those flows. */
  follow(): void {
    const plan = this.#control.plan()
    const version = this.#membership.version()
    if (this.#fallbackFor?.plan !== plan || this.#fallbackFor.version !== version) {
      this.#fallback(plan, this.#memberAddresses())
      this.#fallbackFor = { plan, version }
    }
    if (plan === this.#plan) return
    const isSame = samePlan(plan, this.#plan)
    this.#plan = plan
    if (!isSame) this.#changing = this.#adopt(plan, this.#changing)
  }

  /** Waits for a change under way; there are no more. */
  async stop(): Promise<void> {
    this.#stopping = true
    await this.#changing
  }

  #memberAddresses(): string[] {
    const others = this.#membership.members().filter(({ self, status }) => !self && status !== 'left')
    const addresses = others.flatMap(({ facts }) => [
      facts.gossipAddress,
      ...facts.attachments.map(({ address }) => address),
    ])
    return [...new Set(addresses)]
  }

  /** A host without BPF goes on without the stand-in. */
  #fallback(plan: HostPlan, memberAddresses: string[], attachments?: readonly HostAttachment[]): void {
    try {
      this.#decap.setMembers(memberAddresses)
      this.#decap.setPublished([...plan.publishedAddresses])
      if (attachments !== undefined) {
        this.#decap.attach(attachments.map(({ interface: name, ifindex, address }) => ({ name, ifindex, address })))
      }
      this.#warnings.clear('fallback')
    } catch (error) {
      setTimeout(() => (this.#fallbackFor = undefined), RETRY_MS).unref()
      if (!this.#warnings.raise('fallback', error)) return
      this.#log.warn({ event: 'fallback-decapsulator', error }, 'tunnelled flows pause if this daemon is killed')
    }
  }

  async #adopt(plan: HostPlan, before: Promise<void>): Promise<void> {
    await before
    if (this.#stopping) return
    try {
      await this.#host.update(plan)
      this.#control.setAccepted(plan.publishedAddresses)
      this.#warnings.clear('host')
      this.#log.info({ event: 'host-updated', published: plan.publishedAddresses }, 'addresses and steering follow')
    } catch (error) {
      setTimeout(() => (this.#plan = undefined), RETRY_MS).unref()
      if (!this.#warnings.raise('host', error)) return
      this.#log.error({ event: 'host-update-failed', error }, 'the host could not follow the cluster')
    }
  }
}

function samePlan(a: HostPlan, b: HostPlan | undefined): boolean {
  return b !== undefined && JSON.stringify(a) === JSON.stringify(b)
}
