import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { acquireSingleInstance } from '../../node/single-instance.ts'

/** A name of this test run's own: the real one may be held by a daemon of this machine. */
const NAME = `dpr-test-${process.pid}`
const MODULE = join(import.meta.dirname, '../../node/single-instance.ts')

test('the second of two is told so, and how to find the first', async () => {
  const held = await acquireSingleInstance(NAME)
  await expect(acquireSingleInstance(NAME)).rejects.toMatchObject({
    code: 'E_ALREADY_RUNNING',
    message: expect.stringContaining(`@${NAME}`),
    remedy: expect.stringContaining('dpr status'),
  })
  await held.release()
})

test('once released, twice if need be, it can be had again', async () => {
  const held = await acquireSingleInstance(NAME)
  await held.release()
  await held.release()
  await (await acquireSingleInstance(NAME)).release()
})

test('the kernel frees it when its holder is killed', async () => {
  const hold = `import { acquireSingleInstance } from ${JSON.stringify(MODULE)}
    await acquireSingleInstance(${JSON.stringify(NAME)})
    console.log('held')
    setInterval(() => {}, 1_000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', hold], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    await once(child.stdout, 'data')
    await expect(acquireSingleInstance(NAME)).rejects.toMatchObject({ code: 'E_ALREADY_RUNNING' })
  } finally {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  await (await acquireSingleInstance(NAME)).release()
})

test('it does not keep a process alive', async () => {
  const hold = `import { acquireSingleInstance } from ${JSON.stringify(MODULE)}
    await acquireSingleInstance(${JSON.stringify(`${NAME}-b`)})`
  const options = { stdio: 'inherit', timeout: 10_000 } as const
  const child = spawn(process.execPath, ['--input-type=module', '-e', hold], options)
  expect(await once(child, 'exit')).toEqual([0, null])
})
