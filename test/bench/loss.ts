/**
 * Packet loss for a whole lab: every host drops its share of all frames that reach its interface, ARP, handshakes and
 * gossip alike (an nftables netdev chain, which sees frames before IP does). Between two hosts a packet and its answer
 * are each lost with this probability. What was really dropped is counted, so that a figure can be refused.
 */
import { inNamespace, runOk } from '../../lab/command.ts'
import type { Lab } from '../../lab/lab.ts'

/** Of the targets: "15 % packet loss everywhere". */
export const LOSS_SHARE = 0.15
/** The measured share may differ from the intended one by this much: some thousand packets, three standard deviations. */
const TOLERANCE = 0.03
const TABLE = 'dpr_bench_loss'
const DEVICE = 'eth0'

export interface LossCount {
  host: string
  arrived: number
  dropped: number
}

/** Installs the loss in these hosts, acts, and removes it whatever happened. */
export async function withLoss<T>(lab: Lab, hosts: readonly string[], act: () => Promise<T>): Promise<T> {
  try {
    for (const host of hosts) await runOk(nft(lab, host, '-f', '-'), { input: lossRules(DEVICE, LOSS_SHARE) })
    return await act()
  } finally {
    for (const host of hosts)
      await runOk(nft(lab, host, '-f', '-'), { input: `add table netdev ${TABLE}\ndelete table netdev ${TABLE}\n` })
  }
}

/** Since the loss began. */
export async function lossCounts(lab: Lab, hosts: readonly string[]): Promise<LossCount[]> {
  const read = async (host: string): Promise<LossCount> => ({
    host,
    ...parseLoss(await runOk(nft(lab, host, '-j', 'list', 'table', 'netdev', TABLE))),
  })
  return Promise.all(hosts.map(read))
}

/** Why a figure measured under this loss must not be believed; empty if it may be. */
export function lossProblems(counts: readonly LossCount[], share = LOSS_SHARE): string[] {
  return counts.flatMap(({ host, arrived, dropped }) =>
    arrived > 0 && Math.abs(dropped / arrived - share) <= TOLERANCE
      ? []
      : [`${host} dropped ${dropped} of ${arrived} packets`],
  )
}

export function lossRules(device: string, share: number): string {
  return `add table netdev ${TABLE}
delete table netdev ${TABLE}
table netdev ${TABLE} {
  chain ingress {
    type filter hook ingress device "${device}" priority 0; policy accept;
    counter
    numgen random mod 1000 < ${Math.round(share * 1_000)} counter drop
  }
}
`
}

interface NftJson {
  nftables: { rule?: { expr: { counter?: { packets: number } }[] } }[]
}

/** The counters of the two rules above, in their order. */
export function parseLoss(listing: string): { arrived: number; dropped: number } {
  const { nftables } = JSON.parse(listing) as NftJson
  const counters = nftables.flatMap(({ rule }) => rule?.expr.flatMap(({ counter }) => counter?.packets ?? []) ?? [])
  const [arrived, dropped] = counters
  if (arrived === undefined || dropped === undefined) throw new Error(`no counters in: ${listing.slice(0, 200)}`)
  return { arrived, dropped }
}

function nft(lab: Lab, host: string, ...args: string[]): string[] {
  return inNamespace(lab.namespace(host), ['nft', ...args])
}
