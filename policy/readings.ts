/**
 * What a policy reads off a member: its numbers, bounded, and what they say about its load now. Reports come unsigned
 * over gossip and from load sources that operators write, so every number is bounded here, once; after this file no
 * policy meets NaN, a negative load or an endless capacity.
 */
import type { PolicyMember, PolicySettings, PolicyView } from './types.ts'

/** Utilisation. A flow table of a million entries on a host that is full at 100. */
const LOAD_MAX = 10_000
const CAPACITY_MIN = 0.001
const CAPACITY_MAX = 1_000_000
const CAPACITY_FLOWS_MIN = 1
const CAPACITY_FLOWS_MAX = 1_000_000_000

/** A member with its numbers made safe. */
export interface Reading {
  readonly member: PolicyMember
  /** CAPACITY_MIN to CAPACITY_MAX. */
  readonly capacity: number
  /** CAPACITY_FLOWS_MIN to CAPACITY_FLOWS_MAX. */
  readonly capacityFlows: number
  /** Reported utilisation, 0 to LOAD_MAX; 0 where `freshness` is 0. */
  readonly load: number
  /** How far the report is believed: 1 up to reportFreshMs, then linearly down to 0 at reportStaleMs. */
  readonly freshness: number
  /** Utilisation now: load + (myFlows − myFlowsAtReport) ÷ capacityFlows, at least 0. */
  readonly estimate: number
  /** Slow start: eligibleForMs ÷ slowStartMs, 0 to 1. */
  readonly ramp: number
}

/** Every member of the view in the order of their ids, the same on every node. */
export function readView(view: PolicyView, settings: PolicySettings): Reading[] {
  return view.members.map((member) => readMember(member, settings)).sort(byId)
}

/** Mean load weighted by capacity. Reports count as far as they are believed; 0 if none is. */
export function averageLoad(readings: readonly Reading[]): number {
  let sum = 0
  let weights = 0
  for (const { capacity, freshness, load } of readings) {
    sum += capacity * freshness * load
    weights += capacity * freshness
  }
  return weights > 0 ? sum / weights : 0
}

export function totalCapacity(readings: readonly Reading[]): number {
  return readings.reduce((sum, { capacity }) => sum + capacity, 0)
}

function readMember(member: PolicyMember, settings: PolicySettings): Reading {
  const capacityFlows = bounded(member.capacityFlows, CAPACITY_FLOWS_MIN, CAPACITY_FLOWS_MAX)
  const known = Number.isFinite(member.load)
  const load = known ? bounded(member.load, 0, LOAD_MAX) : 0
  const sinceReport = member.myFlows - member.myFlowsAtReport
  return {
    member,
    capacity: bounded(member.capacity, CAPACITY_MIN, CAPACITY_MAX),
    capacityFlows,
    load,
    freshness: known ? freshness(member, settings) : 0,
    estimate: Math.max(0, load + (Number.isFinite(sinceReport) ? sinceReport / capacityFlows : 0)),
    // The comparison comes first: 0 ÷ 0 and ∞ ÷ ∞ must not reach the ramp.
    ramp: member.eligibleForMs >= settings.slowStartMs ? 1 : bounded(member.eligibleForMs / settings.slowStartMs, 0, 1),
  }
}

function freshness(member: PolicyMember, { reportFreshMs, reportStaleMs }: PolicySettings): number {
  const age = member.reportAgeMs
  if (member.self || age <= reportFreshMs) return 1
  return age < reportStaleMs ? (reportStaleMs - age) / (reportStaleMs - reportFreshMs) : 0
}

/** NaN becomes the lower bound. */
function bounded(value: number, least: number, most: number): number {
  return value > least ? Math.min(value, most) : least
}

/** By UTF-16 code units: a locale must not change the order. */
function byId(a: Reading, b: Reading): number {
  return a.member.id < b.member.id ? -1 : a.member.id > b.member.id ? 1 : 0
}
