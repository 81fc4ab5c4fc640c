/**
 * What this node remembers about members from one look to the next: how many flows it had at a member when that
 * member's latest load report was taken, and since when the member may serve. Pure: time comes in.
 *
 * The report's own age counts: flows that were sent after the sample, though before the report arrived, are not in it.
 */
import type { Member } from '../gossip/types.ts'

/** Older reports are not believed by any policy, so nothing older is needed. */
const SAMPLES_MS = 6_000
/** Looks come every 100 ms from the control loop, and now and then from the control socket. */
const SAMPLE_GAP_MS = 50

interface Remembered {
  reportVersion: number
  flowsAtReport: number
  ableSinceMs: number | undefined
  /** Our flows at the member, oldest first. */
  samples: { atMs: number; flows: number }[]
}

export class MemberHistory {
  readonly #startedMs: number
  readonly #slowStartMs: number
  readonly #byId = new Map<string, Remembered>()

  /** Members that are able when we start are not new: only joins and recoveries after that ramp up. */
  constructor(startedMs: number, slowStartMs: number) {
    this.#startedMs = startedMs
    this.#slowStartMs = slowStartMs
  }

  /** @param able whether the member may serve now; @param flows flows of ours that it has now */
  observe(
    member: Member,
    able: boolean,
    flows: number,
    nowMs: number,
  ): { flowsAtReport: number; eligibleForMs: number } {
    const known = this.#remembered(member.facts.id)
    record(known.samples, flows, nowMs)
    if (member.reportVersion !== known.reportVersion) {
      known.reportVersion = member.reportVersion
      known.flowsAtReport = flowsAt(known.samples, nowMs - member.report.ageMs)
    }
    if (!able) known.ableSinceMs = undefined
    else known.ableSinceMs ??= this.#justStarted(nowMs) ? -Infinity : nowMs
    return {
      flowsAtReport: known.flowsAtReport,
      eligibleForMs: known.ableSinceMs === undefined ? 0 : nowMs - known.ableSinceMs,
    }
  }

  keepOnly(ids: ReadonlySet<string>): void {
    for (const id of this.#byId.keys()) if (!ids.has(id)) this.#byId.delete(id)
  }

  #remembered(id: string): Remembered {
    let known = this.#byId.get(id)
    if (known === undefined) {
      known = { reportVersion: -1, flowsAtReport: 0, ableSinceMs: undefined, samples: [] }
      this.#byId.set(id, known)
    }
    return known
  }

  /** Everybody looks new to a node that has just started: that says nothing about them. */
  #justStarted(nowMs: number): boolean {
    return nowMs - this.#startedMs < this.#slowStartMs
  }
}

function record(samples: Remembered['samples'], flows: number, nowMs: number): void {
  const last = samples.at(-1)
  if (last !== undefined && nowMs - last.atMs < SAMPLE_GAP_MS) last.flows = flows
  else samples.push({ atMs: nowMs, flows })
  while (samples.length > 1 && samples[1]!.atMs < nowMs - SAMPLES_MS) samples.shift()
}

/** The latest sample that is not younger than the given time; the oldest if all are. */
function flowsAt(samples: Remembered['samples'], atMs: number): number {
  return (samples.findLast((sample) => sample.atMs <= atMs) ?? samples[0]!).flows
}
