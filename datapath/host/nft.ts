/**
 * Our two nftables tables, as text for `nft -f -`. Each text replaces its whole table in one transaction, so running it
 * twice is the same as once, and nobody else's table is touched. (`add` before `delete`: deleting what is not there
 * fails, and the transaction with it.)
 *
 * `dpr` clamps the MSS that this host's server offers from a published address whose announcer may have to encapsulate
 * (design, section 6, MTU): replies never pass the engine, so their handshake is rewritten where it leaves the stack.
 *
 * `dpr_guard` drops the resets by which this host's stack would kill redirected flows while the steering is open: their
 * packets then meet a stack that knows no such socket, whose answer to a segment with ACK is a pure RST (RFC 9293,
 * section 3.10.7.1). Aborts and refusals carry RST and ACK and still pass. The rule must not live for ever, because a
 * pure RST is also the honest answer to data after a close; so the set's elements time out in the kernel, and nobody
 * has to be alive for that.
 */

export const CLAMP_TABLE = 'dpr'
export const RESET_TABLE = 'dpr_guard'

/**
 * How long resets stay held back after the steering opened. It has to cover a supervised restart: its delay (systemd's
 * RestartSec, up to some 10 s in practice), the start (1 s), and the pull of the flows (`startupHoldMs`, 10 s). Longer
 * leaves more clients waiting for a reset that they deserve.
 */
export const RESET_HOLD_SECONDS = 60

/** Highest MSS that a published address may offer. */
export interface MssClamp {
  /** Published address. */
  address: string
  /** Bytes. */
  mss: number
}

/** Removes the named tables; those that are not there count as removed. */
export function deleteTables(names: readonly string[]): string {
  return names.map((name) => `add table ip ${name}\ndelete table ip ${name}\n`).join('')
}

/** The clamp table: one rule per MSS, lowering it only. Of two clamps of one address the smaller counts. */
export function clampTable(clamps: readonly MssClamp[]): string {
  const lowest = new Map<string, number>()
  for (const { address, mss } of clamps) lowest.set(address, Math.min(mss, lowest.get(address) ?? mss))
  const byMss = new Map<number, string[]>()
  for (const [address, mss] of lowest) byMss.set(mss, [...(byMss.get(mss) ?? []), address])
  const rules = [...byMss].map(
    ([mss, addresses]) =>
      `    ip saddr { ${addresses.join(', ')} } tcp flags & syn == syn ` +
      `tcp option maxseg size > ${mss} tcp option maxseg size set ${mss}\n`,
  )
  return (
    `${deleteTables([CLAMP_TABLE])}table ip ${CLAMP_TABLE} {\n  chain output {\n` +
    `    type filter hook output priority mangle; policy accept;\n${rules.join('')}  }\n}\n`
  )
}

/** @param addresses at least one published address, separated by commas. */
export function resetTable(addresses: string): string {
  return (
    `${deleteTables([RESET_TABLE])}table ip ${RESET_TABLE} {\n` +
    `  set published { type ipv4_addr; timeout ${RESET_HOLD_SECONDS}s; elements = { ${addresses} }; }\n` +
    `  chain output {\n    type filter hook output priority filter; policy accept;\n` +
    `    ip saddr @published tcp flags & (rst | ack) == rst counter drop\n  }\n}\n`
  )
}
