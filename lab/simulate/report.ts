/** What a simulation found, as plain data: the same for the same seed, to the byte. Times are ms of virtual time. */
import type { PolicyName } from '../../policy/types.ts'
import type { Quantiles } from './quantiles.ts'
import type { TablePace } from './routing-tables.ts'
import type { SimulationSpec } from './spec.ts'

/** [value, share of all values at or below it]. */
export type Distribution = readonly (readonly [number, number])[]

export interface DeathReport {
  member: string
  kind: 'daemon' | 'host'
  /** Since the cluster had formed. */
  atMs: number
  /** Until the first, half, and all of the members that were up had noticed; null: they have not. */
  firstMs: number | null
  medianMs: number | null
  allMs: number | null
  /** Members that were up at the end and had not noticed. */
  unaware: number
}

/** Of the deaths of one kind, over all pairs of a death and a member that was up at the end. */
export interface KindReport {
  noticed: Quantiles
  distribution: Distribution
  /** Longest time until all had noticed one of the deaths; null: some never did. */
  allMs: number | null
}

export interface DetectionReport {
  deaths: DeathReport[]
  /** Daemons killed: their ports refuse. */
  daemons: KindReport | null
  /** Hosts without power: silence. */
  hosts: KindReport | null
}

export interface FalseAlarmReport {
  memberHours: number
  /** Times that members stood still. */
  stalls: number
  /** Living, reachable members that somebody declared dead; each counts once for all who said so. */
  deaths: { stalled: number; awake: number }
  /** The same, each pair of accuser and accused on its own. */
  verdicts: { stalled: number; awake: number }
  /** Distinct members among the wrongly dead. */
  membersDeclaredDead: number
  awakeDeathsPerMemberHour: number
  /** Times that somebody suspected a member that was up, reachable and awake. */
  suspicions: number
  /** Wrong verdicts while the cluster formed; not counted above. */
  whileForming: number
}

/** Bytes per member and second. */
export interface Rates {
  payloadSent: number
  payloadReceived: number
  wireSent: number
  wireReceived: number
  framesSent: number
}

export interface TrafficReport {
  mean: Rates
  /** Largest of any single member, sent or received. */
  wireMost: number
  /** Payload and wire bytes per member in each second: [end of the second, payload sent, wire sent]. */
  series: readonly (readonly [number, number, number])[]
}

export interface PolicyReport {
  policy: PolicyName
  /** Largest ÷ mean active flows, averaged over the second half of the time, and the worst of it. */
  imbalance: number
  imbalanceWorst: number
  /** Share of the flows of the second half that were redirected. */
  redirected: number
  arrived: number
  /** Sent to hosts that had lost power. */
  misdirected: number
  /** [ms, largest ÷ mean] */
  series: readonly (readonly [number, number])[]
  /** [ms, share redirected since the last point] */
  redirectedSeries: readonly (readonly [number, number])[]
}

/** One run: membership, and the flows under one policy. */
export interface RunReport {
  /** Until every member saw all others alive; null: not in time. */
  formedAfterMs: number | null
  detection: DetectionReport
  falseAlarms: FalseAlarmReport
  traffic: TrafficReport
  /** Age of others' load reports in members' views, ms. */
  reportAge: Quantiles & { distribution: Distribution }
  flows: PolicyReport | undefined
  /** Events of the virtual clock. */
  events: number
}

export interface SimulationReport extends Omit<RunReport, 'flows'> {
  spec: SimulationSpec
  /** How often hosts made their routing tables anew. */
  tablePace: TablePace
  /** In the order asked for; empty without arrivals. Membership is reported from the first one's run. */
  policies: PolicyReport[]
}
