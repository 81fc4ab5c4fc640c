/**
 * Every default in one table, imported by configuration, tests and simulator alike. Each value can be changed by
 * configuration; each says what it trades.
 */
export const DEFAULTS = Object.freeze({
  gossipPort: 7600,
  /** Share above the cluster's average load that is tolerated: larger moves fewer flows and balances less. */
  tolerance: 0.05,
  /** Standard deviations of Poisson noise that are tolerated; 0 with tolerance 0 is the paper to the letter. */
  z: 1,
  /** Utilisation below which nothing is redirected, however idle the others are. */
  minLoad: 0.05,
  loadSampleMs: 100,
  probeIntervalMs: 200,
  /** Above the longest stall to be tolerated: shorter finds the dead sooner and accuses the living more often. */
  suspicionMinMs: 1_200,
  ringSlotsMax: 1_024,
  /** Primes; the first that is ≥ 100 × members keeps Maglev's unevenness near 1 %. A larger table costs more to build. */
  maglevSlots: Object.freeze<number[]>([2_039, 8_191, 32_771]),
  flowTableEntries: 1_048_576,
  garpScheduleMs: Object.freeze<number[]>([0, 200, 1_000, 3_000]),
  garpEveryMs: 5_000,
  orphanHoldMs: 3_000,
  startupHoldMs: 10_000,
  resetAfterMs: 5_000,
  restartLeaseMs: 10_000,
  controlLeaseMs: 1_000,
  healthIntervalMs: 1_000,
  healthRise: 2,
  healthFall: 2,
  fragmentPackets: 1_024,
  fragmentMs: 2_000,
  slowStartMs: 10_000,
  reportFreshMs: 2_000,
  reportStaleMs: 5_000,
  /** Flows at which a host is full, when its operator does not say. */
  fullAt: 1_000,
  capacity: 1,
})
