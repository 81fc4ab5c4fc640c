/** Entry of a worker thread that runs one simulation: see simulate/simulate.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import { runSimulation } from './simulate/run.ts'
import type { WorkerTask, WorkerWord } from './simulate/simulate.ts'

const say = (word: WorkerWord): void => parentPort?.postMessage(word)
const { spec, policy } = workerData as WorkerTask
const report = await runSimulation(spec, policy, (done) => say({ type: 'progress', done }))
say({ type: 'report', report })
