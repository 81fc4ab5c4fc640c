/**
 * The one error class of this room: a lab that cannot be described, built, found or ended, with a stable code, the
 * cause, and what to do about it.
 */

/** Every fault this room reports. Codes are stable: scripts and the error reference rely on them. */
export type LabErrorCode =
  /** An option of the lab is out of range or contradicts another. */
  | 'E_LAB_SPEC'
  /** Namespaces need root. */
  | 'E_LAB_NOT_ROOT'
  /** A lab of that name is up, or on its way up. */
  | 'E_LAB_EXISTS'
  /** No lab of that name is up. */
  | 'E_LAB_UNKNOWN'
  /** The lab has no host or helper namespace of that name, or not the process that was asked for. */
  | 'E_LAB_NODE'
  /** A command (ip, tc, sysctl) is missing or failed; its own words are in the message. */
  | 'E_LAB_COMMAND'
  /** The cluster did not come to agree, or does not answer, in the time allowed. */
  | 'E_LAB_NOT_READY'
  /** Something of the lab survived its end. */
  | 'E_LAB_LEFTOVERS'
  /** A signal ended the command before its work was done. */
  | 'E_LAB_INTERRUPTED'
  /** The load generator was given a load that it cannot make, or ended before it was told to. */
  | 'E_LAB_LOAD'

export class LabError extends Error {
  readonly code: LabErrorCode
  /** What the operator can do about it: a clause without a full stop. */
  readonly remedy: string

  constructor(code: LabErrorCode, message: string, remedy: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'LabError'
    this.code = code
    this.remedy = remedy
  }
}
