/**
 * Operating faults of this room: something outside the program is wrong and somebody can mend it. Hostile or broken
 * bytes are not among them: those end in a verdict and a counter.
 */

export type GossipErrorCode =
  | 'E_GOSSIP_PORT_IN_USE'
  | 'E_GOSSIP_ADDRESS_UNAVAILABLE'
  | 'E_GOSSIP_LISTEN'
  | 'E_GOSSIP_CLUSTER_KEY'
  | 'E_GOSSIP_IDENTITY'
  | 'E_GOSSIP_SEED'
  | 'E_GOSSIP_FACTS'
  | 'E_GOSSIP_CONFIG'

export class GossipError extends Error {
  readonly code: GossipErrorCode
  /** What to do about it. */
  readonly remedy: string

  constructor(code: GossipErrorCode, message: string, remedy: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'GossipError'
    this.code = code
    this.remedy = remedy
  }
}
