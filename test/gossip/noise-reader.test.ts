/** On the library's own connections: if its reader changes, the first test says so. */
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Logger, MessageStream } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { multiaddrConnectionPair } from '@libp2p/utils'
import { afterEach, expect, it, vi } from 'vitest'
import { readWithoutThrowing } from '../../gossip/noise-reader.ts'

afterEach(() => {
  vi.unstubAllGlobals()
})

const realRangeError = RangeError
const silent: Logger = Object.assign(() => undefined, {
  error: () => undefined,
  trace: () => undefined,
  enabled: false,
  newScope: () => silent,
})

async function encrypted(): Promise<[MessageStream, MessageStream]> {
  const [near, far] = multiaddrConnectionPair()
  const encrypter = async (): Promise<ReturnType<ReturnType<typeof noise>>> =>
    noise()({
      privateKey: await generateKeyPair('Ed25519'),
      logger: { forComponent: () => silent },
      upgrader: { getStreamMuxers: () => new Map() },
    } as unknown as Parameters<ReturnType<typeof noise>>[0])
  const [dialler, listener] = await Promise.all([encrypter(), encrypter()])
  const [out, inward] = await Promise.all([dialler.secureOutbound(near), listener.secureInbound(far)])
  return [out.connection, inward.connection]
}

/** What arrives at the second end of what the first sends, and how many exceptions that took. */
async function exchange(prepare: (connection: MessageStream) => void): Promise<{ text: string; thrown: number }> {
  const [near, far] = await encrypted()
  prepare(far)
  let thrown = 0
  const counting = (args: unknown[]): RangeError => {
    thrown++
    return new realRangeError(String(args[0]))
  }
  const apply = (_target: unknown, _this: unknown, args: unknown[]) => counting(args)
  const construct = (_target: unknown, args: unknown[]) => counting(args)
  vi.stubGlobal('RangeError', new Proxy(RangeError, { apply, construct }))
  let text = ''
  far.addEventListener('message', ({ data }) => (text += Buffer.from(data.subarray()).toString('latin1')))
  for (const word of ['one ', 'two ', 'three']) near.send(Buffer.from(word))
  await vi.waitFor(() => expect(text).toHaveLength(13))
  return { text, thrown }
}

it('reads the same, and throws no more', async () => {
  const { text, thrown } = await exchange((connection) => expect(readWithoutThrowing(connection)).toBe(true))
  expect(text).toBe('one two three')
  expect(thrown).toBe(0)
})

it('is worth it: by itself the library throws', async () => {
  const { text, thrown } = await exchange(() => undefined)
  expect(text).toBe('one two three')
  expect(thrown).toBeGreaterThan(0)
})

it.each([
  ['nothing known', {}],
  ['another kind of reader', { decoder: { decode: () => [] } }],
  ['a number in its place', { decoder: { lengthDecoder: 2 } }],
])('leaves alone: %s', (_what, connection) => {
  const before = JSON.stringify(connection)
  expect(readWithoutThrowing(connection)).toBe(false)
  expect(JSON.stringify(connection)).toBe(before)
})
