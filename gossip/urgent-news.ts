/**
 * News that should not wait for the next exchange: a suspicion, a death, a refutation, a departure, new facts. It spreads
 * by infect-and-forward: whoever learns something new (after checking it as anything else) passes it on, once, to a few
 * neighbours at random; to whom it is no news, for them it ends there. With fanout f a share s = 1 − e^(−f·s) of all
 * hears of it this way, 94 % for f = 3, in about log_f(N) hops; the others see from the view hash that something is
 * missing. What arrives within `urgentDelayMs` is told in one message, the latest state of each member.
 *
 * A member that lies cannot make others shout: forged, known and outdated claims are no news; about one member at most
 * `newsPerMemberMax` and about all `newsMax` are passed on in a second. The digests bring the rest.
 */
import type { Owed } from './delta.ts'
import type { MemberState } from './records.ts'

export interface NewsConfig {
  urgentDelayMs: number
  newsPerMemberMax: number
  newsMax: number
}

interface News {
  owed: Owed
  fanout: number
  /** Whoever told us needs not be told; undefined if several did, or nobody. */
  heardFrom: string | undefined
}

export class UrgentNews {
  readonly #config: NewsConfig
  readonly #pending = new Map<MemberState, News>()
  readonly #perMember = new Map<MemberState, number>()
  #second = -Infinity
  #count = 0
  #dueMs = Infinity

  constructor(config: NewsConfig) {
    this.#config = config
  }

  /** Our own news: not limited, because it is we who speak. */
  tell(owed: Owed, fanout: number, nowMs: number): void {
    this.#note(owed, fanout, undefined, nowMs)
  }

  /** News that we heard. False if it is left to the digests. */
  forward(owed: Owed, fanout: number, heardFrom: string, nowMs: number): boolean {
    if (!this.#admit(owed.state, nowMs)) return false
    this.#note(owed, fanout, heardFrom, nowMs)
    return true
  }

  get dueMs(): number {
    return this.#dueMs
  }

  /** What is to be told now, widest first. */
  take(): News[] {
    const news = [...this.#pending.values()].sort((a, b) => b.fanout - a.fanout)
    this.#pending.clear()
    this.#dueMs = Infinity
    return news
  }

  #note(owed: Owed, fanout: number, heardFrom: string | undefined, nowMs: number): void {
    const known = this.#pending.get(owed.state)
    if (this.#pending.size === 0) this.#dueMs = nowMs + this.#config.urgentDelayMs
    this.#pending.set(owed.state, {
      owed: {
        state: owed.state,
        facts: owed.facts || known?.owed.facts === true,
        rumour: owed.rumour || known?.owed.rumour === true,
      },
      fanout: Math.max(fanout, known?.fanout ?? 0),
      heardFrom: known === undefined || known.heardFrom === heardFrom ? heardFrom : undefined,
    })
  }

  #admit(state: MemberState, nowMs: number): boolean {
    const second = Math.floor(nowMs / 1_000)
    if (second !== this.#second) {
      this.#second = second
      this.#count = 0
      this.#perMember.clear()
    }
    const count = (this.#perMember.get(state) ?? 0) + 1
    if (count > this.#config.newsPerMemberMax || this.#count >= this.#config.newsMax) return false
    this.#perMember.set(state, count)
    this.#count++
    return true
  }
}
