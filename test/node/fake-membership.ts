/** A membership that says what a test tells it to, and remembers what it was told. */
import type { LoadReport, Member, Membership, MembershipEvent, OwnFacts } from '../../gossip/types.ts'
import { memberOf } from './members.ts'

export class FakeMembership implements Membership {
  readonly id: string
  list: Member[]
  unsure = false
  exchangeAgeMs = 10
  facts: OwnFacts[] = []
  loads: LoadReport[] = []
  found: string[] = []
  asked = 0
  #version = 1

  /** The first is this node. */
  constructor(list: Member[] = [memberOf('h1', {}, { self: true }), memberOf('h2')]) {
    this.list = list
    this.id = list[0]!.facts.id
  }

  /** Something happened to members. */
  change(list: Member[]): void {
    this.list = list
    this.#version++
  }

  members(): Member[] {
    this.asked++
    return structuredClone(this.list)
  }

  version(): number {
    return this.#version
  }

  isUnsure(): boolean {
    return this.unsure
  }

  lastExchangeAgeMs(): number {
    return this.exchangeAgeMs
  }

  setFacts(facts: OwnFacts): void {
    this.facts.push(facts)
    this.change(this.list.map((member) => (member.self ? { ...member, facts: { ...member.facts, ...facts } } : member)))
  }

  setLoad(report: LoadReport): void {
    this.loads.push(report)
  }

  discovered(address: string): void {
    this.found.push(address)
  }

  async start(): Promise<void> {}
  async stop(): Promise<void> {}
  onEvent(_listener: (event: MembershipEvent) => void): () => void {
    return () => undefined
  }
  setKeys(): void {}
  setAllowList(): void {}
  linksByKey(): number[] {
    return []
  }
  addresses(): { id: string; address: string }[] {
    return []
  }
  counters(): ReturnType<Membership['counters']> {
    throw new Error('no test asks for them')
  }
}
