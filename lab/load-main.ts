/**
 * Process entry of the load generator, run inside a lab's client namespace. JSON lines on stdout. TERM or INT: nothing
 * new is started, what is under way finishes, the summary is written; a second one ends it at once.
 *
 *   load-main open   --url U … --rate 100 [--hold-ms 500] [--duration-s 30] [--count N] [--timeout-ms 5000] [--seed 1]
 *   load-main closed --url U … --concurrency 16 [the same]
 *   load-main flows  --url U … --connections 20 [--interval-ms 200] [--message-bytes 64] [--open-every-ms 0] …
 *   load-main wait   --url U … [--timeout-ms 30000] [--tcp]
 *
 * `wait` tries every URL until it answers, exit code 1 if one does not in time; with --tcp a connection is an answer.
 */
import { parseArgs } from 'node:util'
import { LabError } from './errors.ts'
import { checkFlowsPlan, runFlows } from './load-flows.ts'
import { checkLoadPlan, runLoad } from './load.ts'
import type { LoadLine } from './load-report.ts'
import { waitForAnswers } from './load-wait.ts'

const text = (fallback: string) => ({ type: 'string', default: fallback }) as const
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: 'string', multiple: true, default: [] },
    rate: text('100'),
    concurrency: text('16'),
    connections: text('16'),
    'hold-ms': text('0'),
    'duration-s': text('30'),
    count: text('1000000000'),
    'timeout-ms': text('5000'),
    seed: text('1'),
    'interval-ms': text('200'),
    'message-bytes': text('64'),
    'open-every-ms': text('0'),
    tcp: { type: 'boolean', default: false },
  },
})

const stop = new AbortController()
const abort = new AbortController()
for (const name of ['SIGTERM', 'SIGINT'] as const) {
  process.on(name, () => {
    if (stop.signal.aborted) abort.abort()
    stop.abort()
  })
}
const signals = { stop: stop.signal, abort: abort.signal }
const emit = (line: LoadLine) => void process.stdout.write(`${JSON.stringify(line)}\n`)
// A reader that went away (a demo that was killed) ends the load instead of crashing it.
process.stdout.on('error', () => process.exit(1))

async function main(mode: string): Promise<number> {
  const common = {
    urls: values.url,
    durationMs: Number(values['duration-s']) * 1_000,
    timeoutMs: Number(values['timeout-ms']),
  }
  const requests = {
    ...common,
    holdMs: Number(values['hold-ms']),
    count: Number(values.count),
    seed: Number(values.seed),
  }
  switch (mode) {
    case 'open':
      await runLoad(checkLoadPlan({ ...requests, model: { kind: mode, rate: Number(values.rate) } }), signals, emit)
      return 0
    case 'closed': {
      const model = { kind: mode, concurrency: Number(values.concurrency) } as const
      await runLoad(checkLoadPlan({ ...requests, model }), signals, emit)
      return 0
    }
    case 'flows': {
      const plan = {
        ...common,
        connections: Number(values.connections),
        intervalMs: Number(values['interval-ms']),
        messageBytes: Number(values['message-bytes']),
        openEveryMs: Number(values['open-every-ms']),
      }
      await runFlows(checkFlowsPlan(plan), signals, emit)
      return 0
    }
    case 'wait':
      return (await waitForAnswers(values.url, values.tcp, common.timeoutMs, signals.stop, emit)) ? 0 : 1
    default:
      throw new LabError('E_LAB_LOAD', `"${mode}" is no mode`, 'say open, closed, flows or wait')
  }
}

try {
  process.exitCode = await main(positionals[0] ?? '')
} catch (error) {
  if (!(error instanceof LabError)) throw error
  console.error(`${error.code}: ${error.message}; ${error.remedy}`)
  process.exitCode = 2
}
