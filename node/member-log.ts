/** What the log says about members: one line for whatever changed about one, and for strangers that were refused. */
import type { MembershipEvent } from '../gossip/types.ts'
import type { Logger } from './log.ts'

export function logMembershipEvent(log: Logger, event: MembershipEvent): void {
  switch (event.type) {
    case 'joined': {
      const { name, id, incarnation } = event.member.facts
      log.info({ event: 'member-joined', member: name, id, incarnation }, 'joined')
      break
    }
    case 'status': {
      const { facts, status, deadReason } = event.member
      const { name, incarnation } = facts
      log.info({ event: 'member-status', member: name, from: event.from, status, deadReason, incarnation }, status)
      break
    }
    case 'forgotten':
      log.info({ event: 'member-forgotten', id: event.id }, 'forgotten')
      break
    case 'stranger':
      log.warn({ event: 'stranger', address: event.address, reason: event.reason }, 'refused')
      break
    case 'twin':
      log.error({ event: 'twin', address: event.address }, 'another node uses this identity')
      break
    case 'facts':
      log.debug({ event: 'member-facts', member: event.member.facts.name }, 'changed')
      break
  }
}
