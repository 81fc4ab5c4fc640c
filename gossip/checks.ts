/**
 * Checks of single fields that came from others: type, range, length. Each returns whether the value is acceptable, so
 * that a parser is a list of them.
 */

/** Incarnations and versions stay below this, so that there is always room to jump past what a stranger claims. */
export const VERSION_MAX = 2 ** 48
/** Longest age that is believed, ms (one year); ages are durations, never points in time. */
export const AGE_MS_MAX = 31_536_000_000

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

export function isArrayOf<T>(value: unknown, max: number, item: (v: unknown) => v is T): value is T[] {
  return Array.isArray(value) && value.length <= max && value.every(item)
}

export function isInteger(value: unknown, min: number, max: number): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max
}

export function isNumber(value: unknown, min: number, max: number): value is number {
  return typeof value === 'number' && value >= min && value <= max
}

export function isVersion(value: unknown): value is number {
  return isInteger(value, 0, VERSION_MAX)
}

export function isAge(value: unknown): value is number {
  return isNumber(value, 0, AGE_MS_MAX)
}

export function isText(value: unknown, max: number): value is string {
  // Control characters would end up in logs and terminals.
  return typeof value === 'string' && value.length <= max && !/\p{Cc}/u.test(value)
}

export function isIpv4(value: unknown): value is string {
  if (typeof value !== 'string' || value.length > 15) return false
  const parts = value.split('.')
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)
}

export function isMac(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(value)
}

/** An Ed25519 peer id in base58: `12D3KooW` and 44 characters more. */
export function isPeerId(value: unknown): value is string {
  return typeof value === 'string' && /^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/.test(value)
}

export function isBytes(value: unknown, min: number, max: number): value is Uint8Array {
  return value instanceof Uint8Array && value.length >= min && value.length <= max
}
