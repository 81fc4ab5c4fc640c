/**
 * The one error of this room. A policy never throws for a well-formed view and validated settings; what can be wrong
 * is what an operator or a peer wrote into the settings, or a caller's bug.
 */

export type PolicyErrorCode = 'E_POLICY_SETTINGS' | 'E_POLICY_VIEW'

export class PolicyError extends Error {
  override readonly name = 'PolicyError'
  readonly code: PolicyErrorCode
  /** What to do about it, one sentence. */
  readonly remedy: string

  constructor(code: PolicyErrorCode, message: string, remedy: string) {
    super(message)
    this.code = code
    this.remedy = remedy
  }
}
