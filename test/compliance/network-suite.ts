/**
 * What every implementation of the seam gossip/network.ts promises, as one suite. It knows no clock: a harness lets
 * time pass, real or virtual, and makes the faults.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DialOutcome, Lane, Network, NetworkHandlers, PeerConnection } from '../../gossip/network.ts'

export interface NetworkHarness {
  /** Lets time pass until the condition holds; rejects if that takes longer than `withinMs` of the harness's time. */
  until(what: string, condition: () => boolean, withinMs?: number): Promise<void>
  /** Lets this much time pass, to see that something does not happen. */
  pass(ms: number): Promise<void>
  /**
   * A node, not started. `key` names its cluster's key; nodes with different ones are strangers. `cuttable`: `cut`
   * will be asked of it.
   */
  create(options?: { key?: string; cuttable?: boolean }): Promise<{ network: Network; address: string }>
  /** From now on nothing passes between the nodes at these two addresses, and neither is told. */
  cut(a: string, b: string): void
  /** Ends all cuts. What was under way arrives late, as retransmitted, or its connection ends. */
  heal(): void
  /** Stops what is left, removes everything. */
  close(): Promise<void>
}

interface Frame {
  connection: PeerConnection
  lane: Lane
  text: string
}

/** A node that writes down what its network tells it. */
interface Node {
  network: Network
  address: string
  opened: PeerConnection[]
  frames: Frame[]
  closed: PeerConnection[]
  strangers: { address: string; reason: string }[]
}

const DIAL_MS = 2_000
const FRAMES = 200
/** More than any lane holds. */
const FLOOD_FRAMES = 2_000
const FLOOD_FRAME_BYTES = 64 * 1_024

const textOf = (frame: Uint8Array): string => Buffer.from(frame).toString('latin1')
const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'))

export function networkCompliance(name: string, make: () => Promise<NetworkHarness> | NetworkHarness): void {
  describe(`network compliance: ${name}`, () => {
    let harness: NetworkHarness

    beforeEach(async () => {
      harness = await make()
    })
    afterEach(() => harness.close())

    async function start(options: { key?: string; cuttable?: boolean } = {}): Promise<Node> {
      const { network, address } = await harness.create(options)
      const node: Node = { network, address, opened: [], frames: [], closed: [], strangers: [] }
      const handlers: NetworkHandlers = {
        opened: (connection) => node.opened.push(connection),
        frame: (connection, lane, frame) => node.frames.push({ connection, lane, text: textOf(frame) }),
        closed: (connection) => node.closed.push(connection),
        stranger: (from, reason) => node.strangers.push({ address: from, reason }),
      }
      await network.start(handlers)
      return node
    }

    async function dial(from: Node, address: string): Promise<DialOutcome> {
      const outcomes: DialOutcome[] = []
      from.network.dial(address, DIAL_MS, (outcome) => outcomes.push(outcome))
      expect(outcomes, 'never at once').toEqual([])
      await harness.until(`an outcome of dialling ${address}`, () => outcomes.length > 0, DIAL_MS + 1_000)
      expect(outcomes).toHaveLength(1)
      return outcomes[0]!
    }

    /** A connection, as each end sees it. */
    async function connect(from: Node, to: Node): Promise<{ near: PeerConnection; far: PeerConnection }> {
      const before = to.opened.length
      const outcome = await dial(from, to.address)
      if (!outcome.ok) throw new Error(`not connected: ${outcome.failure}`)
      await harness.until('the far end opens', () => to.opened.length > before)
      return { near: outcome.connection, far: to.opened[before]! }
    }

    it('proves to each end who the other is', async () => {
      const [a, b] = [await start(), await start()]
      expect(a.network.id).not.toBe(b.network.id)
      const { near, far } = await connect(a, b)
      expect(near).toMatchObject({ peer: b.network.id, address: b.address, direction: 'outbound' })
      expect(far).toMatchObject({ peer: a.network.id, direction: 'inbound' })
      expect(far.address).toMatch(/^\d+\.\d+\.\d+\.\d+:\d+$/)
      expect(a.opened, 'the dialler is called back instead').toEqual([])
    })

    it('delivers whole frames, once and in order, on both lanes in both directions', async () => {
      const [a, b] = [await start(), await start()]
      const { near, far } = await connect(a, b)
      const texts = Array.from({ length: FRAMES }, (_, i) => `${i} ${'x'.repeat(i % 7 === 0 ? 3_000 : i)}`)
      for (const lane of ['probe', 'bulk'] as const) {
        for (const [connection, receiver] of [
          [near, b],
          [far, a],
        ] as const) {
          let sent = 0
          const got = (): Frame[] => receiver.frames.filter((frame) => frame.lane === lane)
          await harness.until(`${lane} frames arrive`, () => {
            // A lane may be full, or still opening, at any time: what it refused is offered again.
            while (sent < texts.length && connection.send(lane, bytesOf(texts[sent]!))) sent++
            return got().length === texts.length
          })
          expect(got().map((frame) => frame.text)).toEqual(texts)
          expect(got().every((frame) => frame.connection === (receiver === b ? far : near))).toBe(true)
        }
      }
    })

    it('takes a copy: the buffer may be used again', async () => {
      const [a, b] = [await start(), await start()]
      const { near } = await connect(a, b)
      const buffer = bytesOf('first')
      expect(near.send('probe', buffer)).toBe(true)
      buffer.fill(0)
      await harness.until('arrival', () => b.frames.length > 0)
      expect(b.frames[0]!.text).toBe('first')
    })

    it('refuses when a lane is full; probes pass by a bulk lane that is', async () => {
      const [a, b] = [await start({ cuttable: true }), await start({ cuttable: true })]
      const { near } = await connect(a, b)
      const big = new Uint8Array(FLOOD_FRAME_BYTES)
      await harness.until('the bulk lane works', () => near.send('bulk', bytesOf('ready')))
      await harness.until('and has been used', () => b.frames.length > 0)
      harness.cut(a.address, b.address)
      let taken = 0
      while (taken < FLOOD_FRAMES && near.send('bulk', big)) taken++
      expect(taken, 'bounded').toBeLessThan(FLOOD_FRAMES)
      expect(near.send('probe', bytesOf('probe'))).toBe(true)
      harness.heal()
      await harness.until('the probe arrives', () => b.frames.some((frame) => frame.text === 'probe'))
    })

    it('keeps two connections of one pair apart', async () => {
      const [a, b] = [await start(), await start()]
      const [first, second] = [await connect(a, b), await connect(b, a)]
      first.near.send('probe', bytesOf('on the first'))
      second.near.send('probe', bytesOf('on the second'))
      await harness.until('both arrive', () => a.frames.length === 1 && b.frames.length === 1)
      expect(b.frames[0]!.connection).toBe(first.far)
      expect(a.frames[0]!.connection).toBe(second.far)
      first.near.abort('one of them')
      await harness.until('one ends', () => a.closed.length === 1 && b.closed.length === 1)
      expect([a.closed[0], b.closed[0]]).toEqual([first.near, first.far])
      second.far.send('probe', bytesOf('still there'))
      await harness.until('the other goes on', () => b.frames.length === 2)
    })

    it('tells both ends once that a connection is over, and takes nothing more', async () => {
      const [a, b] = [await start(), await start()]
      const { near, far } = await connect(a, b)
      near.abort('enough')
      near.abort('again')
      expect(near.send('probe', bytesOf('late')), 'closed').toBe(false)
      await harness.until('both are told', () => a.closed.length > 0 && b.closed.length > 0)
      far.abort('me too')
      expect([near.send('bulk', bytesOf('late')), far.send('probe', bytesOf('late'))]).toEqual([false, false])
      await harness.pass(100)
      expect([a.closed, b.closed]).toEqual([[near], [far]])
      expect([a.frames, b.frames]).toEqual([[], []])
    })

    it('ends as a killed process does: its peers see closed connections, its port refuses', async () => {
      const [a, b] = [await start(), await start()]
      const { near } = await connect(a, b)
      await b.network.stop()
      await harness.until('the peer is told', () => a.closed.includes(near))
      expect(await dial(a, b.address)).toEqual({ ok: false, failure: 'refused' })
      expect(near.send('probe', bytesOf('late'))).toBe(false)
    })

    it('knows its own address when it dials it', async () => {
      const a = await start()
      expect(await dial(a, a.address)).toEqual({ ok: false, failure: 'self' })
    })

    it('gives up a dial that nothing answers, in time', async () => {
      const [a, b] = [await start({ cuttable: true }), await start({ cuttable: true })]
      harness.cut(a.address, b.address)
      expect(await dial(a, b.address)).toEqual({ ok: false, failure: 'unreachable' })
      harness.heal()
      expect((await dial(a, b.address)).ok).toBe(true)
    })

    it('a cut delays or ends a connection; it never loses a frame in between', async () => {
      const [a, b] = [await start({ cuttable: true }), await start({ cuttable: true })]
      const { near } = await connect(a, b)
      harness.cut(a.address, b.address)
      expect(near.send('probe', bytesOf('first'))).toBe(true)
      await harness.pass(300)
      expect([b.frames, a.closed, b.closed], 'nobody is told').toEqual([[], [], []])
      near.send('probe', bytesOf('second'))
      harness.heal()
      await harness.until('late or over', () => b.frames.length === 2 || b.closed.length === 1)
      expect(b.frames.map((frame) => frame.text)).toEqual(['first', 'second'].slice(0, b.frames.length))
    })

    it('lets nobody in who has another key, and says so at both ends', async () => {
      const [inside, outside] = [await start({ key: 'one' }), await start({ key: 'another' })]
      expect(await dial(outside, inside.address)).toEqual({ ok: false, failure: 'key' })
      await harness.until('the stranger is noticed', () => inside.strangers.length > 0)
      expect([inside.opened, inside.closed, outside.closed]).toEqual([[], [], []])
    })
  })
}
