/**
 * The daemon's log: one line an event, with the event's name in `event` and its facts in fields, as JSON for machines or
 * as one compact line for people.
 *
 *     log.info({ event: 'member-joined', member: 'h2', address: '10.1.0.2' }, 'h2 joined')
 */
import pino from 'pino'
import type { Logger } from 'pino'
import type { Config } from './config-schema.ts'
import { createOutput } from './log-output.ts'
import type { LineSink } from './log-output.ts'

export type { Logger } from 'pino'

/** @param sink where lines go; default: standard output, without ever blocking on it */
export function createLogger({ level, format }: Config['log'], sink: LineSink = standardOutput(format)): Logger {
  const target: LineSink =
    format === 'json' ? sink : { write: (line) => sink.write(`${prettyLine(JSON.parse(line) as LogRecord)}\n`) }
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: pino.stdSerializers.err, err: pino.stdSerializers.err },
    },
    target,
  )
}

interface LogRecord {
  level: string
  time: string
  event?: string
  msg?: string
  [field: string]: unknown
}

/** `12:00:00.123 WARN  member-suspect  h2 is silent  member=h2 sinceMs=1200` */
export function prettyLine({ level, time, event, msg, ...fields }: LogRecord): string {
  const facts = Object.entries(fields).map(([key, value]) => `${key}=${prettyValue(value)}`)
  return [`${time.slice(11, 23)} ${level.toUpperCase().padEnd(5)}`, event, msg, facts.join(' ')]
    .filter((part) => part !== undefined && part !== '')
    .join('  ')
}

function prettyValue(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'message' in value) return JSON.stringify(value.message)
  const isPlainWord = typeof value === 'string' && /^[^\s"=]+$/u.test(value)
  return isPlainWord ? value : JSON.stringify(value)
}

function standardOutput(format: Config['log']['format']): LineSink {
  // Looking at process.stdout makes Node set a pipe or socket there to non-blocking.
  const output = createOutput(process.stdout.fd, (lines) => {
    const record = { level: 'warn', time: new Date().toISOString(), event: 'log-lines-dropped', lines }
    return `${format === 'json' ? JSON.stringify(record) : prettyLine(record)}\n`
  })
  process.once('exit', () => output.flushAtExit())
  return output
}
