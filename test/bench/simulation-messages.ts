/** What the benchmark of simulations and its workers say to each other. */
import type { SimulationReport } from '../../lab/simulate/report.ts'
import type { SimulationSpec } from '../../lab/simulate/spec.ts'

export interface ToSimulator {
  type: 'simulate'
  spec: Partial<SimulationSpec>
}

export type FromSimulator = { type: 'report'; report: SimulationReport } | { type: 'failed'; message: string }
