import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, expect, test } from 'vitest'

const LOG = join(import.meta.dirname, '../../node/log.ts')

let running: ReturnType<typeof spawn>[] = []
afterEach(() => {
  for (const child of running) child.kill('SIGKILL')
  running = []
})

/** A process that logs: `body` sees `log`. */
function logging(body: string, format: 'json' | 'pretty' = 'json') {
  const script = `import { createLogger } from ${JSON.stringify(LOG)}
    const log = createLogger({ level: 'info', format: '${format}' })
    ${body}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 20_000,
  })
  running.push(child)
  return child
}

test.each(['json', 'pretty'] as const)(
  '%s: every line arrives, in order, even if the process exits at once',
  async (format) => {
    const child = logging(`for (let i = 0; i < 500; i++) log.info({ event: 'e', i }); process.exit(3)`, format)
    const [out, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')])
    expect(code).toBe(3)
    expect([...out.matchAll(/"?\bi"?[:=](\d+)/gu)].map(([, i]) => Number(i))).toEqual(
      Array.from({ length: 500 }, (_, i) => i),
    )
  },
)

test('every line arrives if the process ends by itself', async () => {
  const child = logging(`log.info({ event: 'a' }); log.info({ event: 'b' })`)
  expect((await text(child.stdout)).match(/"event":"."/gu)).toEqual(['"event":"a"', '"event":"b"'])
})

test('a reader that has gone away ends nothing and delays nothing', async () => {
  const child = logging(`setTimeout(() => {
      for (let i = 0; i < 10; i++) log.info({ event: 'e', i })
      setTimeout(() => { console.error('alive'); log.info({ event: 'late' }); process.exit(0) }, 100)
    }, 100)`)
  child.stdout.destroy()
  const [err, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')])
  expect({ err, code }).toEqual({ err: 'alive\n', code: 0 })
})

test('a reader that stops reading does not stop the process; what is dropped is counted, the rest is whole', async () => {
  const child = logging(`const filler = 'x'.repeat(50_000)
    for (let i = 0; i < 100; i++) log.info({ event: 'e', filler })
    const timer = setInterval(() => console.error('alive'), 10)
    process.once('SIGTERM', () => clearInterval(timer))`)
  // Not reading: pipe and queue hold about 1.2 MB; 5 MB are logged.
  await once(child.stderr, 'data')
  let out = ''
  for await (const chunk of child.stdout.setEncoding('utf8') as AsyncIterable<string>) {
    out += chunk
    // The last line there is: now the process may end.
    if (out.slice(-1_000).includes('log-lines-dropped')) child.kill('SIGTERM')
  }
  const lines = out.trimEnd().split('\n')
  const records = lines.map((line) => JSON.parse(line) as { event: string; filler: string; lines: number })
  const written = records.filter(({ event, filler }) => event === 'e' && filler.length === 50_000).length
  expect(records.at(-1)!.event).toBe('log-lines-dropped')
  expect(written).toBeGreaterThan(15)
  expect(written + records.at(-1)!.lines).toBe(100)
})

test('a process whose reader is stuck still ends when it is told to', async () => {
  const child = logging(`const filler = 'x'.repeat(1_000)
    for (let i = 0; i < 3_000; i++) log.info({ event: 'e', filler })
    setTimeout(() => process.exit(5), 1_200)`)
  expect(await once(child, 'exit')).toEqual([5, null])
})
