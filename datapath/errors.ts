/**
 * The one error class of this room: operating faults of host and kernel, with a stable code to look up, the cause, and
 * what to do about it. Bugs assert instead; broken packets become verdicts and counters and never throw.
 */

/** Every fault this room reports. Codes are stable: scripts and the error reference rely on them. */
export type DatapathErrorCode =
  /** CAP_NET_ADMIN or CAP_NET_RAW is missing. */
  | 'E_NOT_ROOT'
  /** /dev/net/tun is missing, not allowed, or the kernel lacks its driver. */
  | 'E_NO_TUN'
  | 'E_TOOL_MISSING_IP'
  | 'E_TOOL_MISSING_TC'
  | 'E_TOOL_MISSING_NFT'
  /** An interface that was there is gone, or has become another one. */
  | 'E_INTERFACE_GONE'
  /** A command (ip, tc, nft) failed; its own words are in the message. */
  | 'E_HOST_COMMAND'
  /** A sysctl cannot be read or written. */
  | 'E_SYSCTL'
  /** The journal of host changes cannot be read or written. */
  | 'E_JOURNAL'
  /** A filter of somebody else sits at a preference that is ours. */
  | 'E_FILTER_TAKEN'
  /** Another daemon holds this host's steering. */
  | 'E_HOST_BUSY'
  /** The kernel does not take a BPF program, or lacks what it needs. */
  | 'E_NO_BPF'
  /** The guard child cannot be started. */
  | 'E_GUARD'
  /** A plan names something that is no interface, no MAC or no IPv4 address. */
  | 'E_HOST_PLAN'
  /** A device, socket or system call of an engine failed. */
  | 'E_ENGINE'

export class DatapathError extends Error {
  readonly code: DatapathErrorCode
  /** What the operator can do about it, one or two sentences. */
  readonly remedy: string

  constructor(code: DatapathErrorCode, message: string, remedy: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'DatapathError'
    this.code = code
    this.remedy = remedy
  }
}
