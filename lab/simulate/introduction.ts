/**
 * Makes the members of a large cluster known to each other at its start. Finding each other takes every member about as
 * much work as minutes of what follows, all within a second; where a simulation is about what follows, a crier, who is
 * no member, asks everybody for its record and hands all records to all. It speaks the protocol: members believe it
 * because records are signed.
 */
import { decodeMessage, encodeMessage } from '../../gossip/codec.ts'
import type { SignedFacts } from '../../gossip/facts-signature.ts'
import type { PeerConnection } from '../../gossip/network.ts'
import type { SimulatedAccess } from './network.ts'

/** Records in one message: less than a frame may hold. */
const RECORDS_PER_MESSAGE = 150
const DIAL_MS = 10_000
/**
 * Members end a link that owes them an answer for long, and the crier answers nobody. Who has not introduced itself by
 * then (a lost packet is enough) is heard of from the others.
 */
const PATIENCE_MS = 400
const POLL_MS = 20
/** Until what was sent has arrived. */
const LINGER_MS = 2_000

/** @param addresses of all members, which must be running */
export function introduce(crier: SimulatedAccess, addresses: readonly string[]): void {
  const { loop } = crier
  const heard = new Map<string, SignedFacts>()
  const connections: PeerConnection[] = []
  void crier.start({
    opened: () => {},
    closed: () => {},
    stranger: () => {},
    frame: ({ peer }, _, frame) => {
      const verdict = decodeMessage(frame)
      // Its greeting brings its own record alone.
      if (!verdict.ok || verdict.message.type !== 'ping' || heard.has(peer)) return
      const [own] = verdict.message.delta.facts
      if (own !== undefined) heard.set(peer, own)
    },
  })
  for (const address of addresses) {
    crier.dial(address, DIAL_MS, (outcome) => {
      if (outcome.ok) connections.push(outcome.connection)
    })
  }
  const deadlineMs = loop.now() + PATIENCE_MS
  const poll = (): void => {
    if (heard.size < addresses.length && loop.now() < deadlineMs) {
      loop.schedule(loop.now() + POLL_MS, poll)
      return
    }
    for (const message of messagesOf([...heard.values()])) {
      for (const connection of connections) connection.send('bulk', message)
    }
    loop.schedule(loop.now() + LINGER_MS, () => void crier.stop())
  }
  poll()
}

function messagesOf(records: readonly SignedFacts[]): Uint8Array[] {
  return Array.from({ length: Math.ceil(records.length / RECORDS_PER_MESSAGE) }, (_, i) => {
    const facts = records.slice(i * RECORDS_PER_MESSAGE, (i + 1) * RECORDS_PER_MESSAGE)
    return encodeMessage({ type: 'push', delta: { facts, rumours: [] }, wants: [] })
  })
}
