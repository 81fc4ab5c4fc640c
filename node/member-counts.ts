/** What has happened to members since the start, by kind: for metrics. */
import type { DeadReason, MembershipEvent } from '../gossip/types.ts'

export type MemberChange = 'joined' | 'alive' | 'suspect' | 'dead' | 'left' | 'facts' | 'forgotten'

export class MemberCounts {
  readonly changes: Record<MemberChange, number> = {
    joined: 0,
    alive: 0,
    suspect: 0,
    dead: 0,
    left: 0,
    facts: 0,
    forgotten: 0,
  }
  readonly deaths: Record<DeadReason, number> = { 'daemon-only': 0, silent: 0 }
  /** Connections refused, as far as they were reported. */
  strangers = 0
  /** Reports of another node with this node's identity. */
  twins = 0

  note(event: MembershipEvent): void {
    switch (event.type) {
      case 'joined':
      case 'facts':
      case 'forgotten':
        this.changes[event.type]++
        break
      case 'status':
        this.changes[event.member.status]++
        if (event.member.deadReason !== undefined) this.deaths[event.member.deadReason]++
        break
      case 'stranger':
        this.strangers++
        break
      case 'twin':
        this.twins++
        break
    }
  }
}
