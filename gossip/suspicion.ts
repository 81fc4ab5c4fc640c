/**
 * How long a suspected member may take to refute: the arithmetic of Lifeguard's dynamic suspicion timeout (Dadgar,
 * Phillips, Currey 2017, section IV-B). It starts long, because a lone accuser may be the broken one, and shrinks with
 * every independent confirmation.
 *
 *     timeout(c) = max(min, max − (max − min) · ln(c + 1) ÷ ln(k + 1))
 *
 * c = confirmations beyond the first accuser, k = confirmations wanted. k = 0 (nobody else could confirm) is min.
 */
export function suspicionTimeoutMs(confirmations: number, wanted: number, minMs: number, maxMs: number): number {
  if (wanted <= 0 || confirmations >= wanted) return minMs
  const shrink = Math.log(Math.max(0, confirmations) + 1) / Math.log(wanted + 1)
  return Math.max(minMs, maxMs - (maxMs - minMs) * shrink)
}

/** Accusers that must agree before the maximum time: all who could accuse, at most `wanted`, at least one. */
export function accusersRequired(wanted: number, eligible: number): number {
  return Math.max(1, Math.min(wanted, eligible))
}
