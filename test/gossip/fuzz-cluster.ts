/**
 * A small cluster of cores in virtual time with a perfect network, one of whose members is compromised: it takes part
 * as any other does, and on top of that says whatever the fuzzer makes up. Every message passes the codec. What may
 * never happen is checked with every input: see `Harm`.
 */
import { hash } from 'node:crypto'
import { decodeMessage, encodeMessage } from '../../gossip/codec.ts'
import { lanConfig } from '../../gossip/config.ts'
import { GossipCore } from '../../gossip/core.ts'
import type { Output } from '../../gossip/core.ts'
import type { Signer, Verifier } from '../../gossip/identity.ts'
import type { Message } from '../../gossip/messages.ts'
import type { Random } from '../../lab/simulate/random.ts'
import { below, pick } from './fuzz-bytes.ts'
import { factsOf, signerOf } from './fixtures.ts'

/** Members that do as they should; one more is compromised, one more comes and goes. */
const HONEST = 5
export const LIAR = HONEST
const VISITOR = HONEST + 1
const INVENTED = 24
/** Small, so that invented members fill it; and they are forgotten soon, so that it empties again. */
export const MEMBERS_MAX = 20
const FORGET_AFTER_MS = 20_000
/** Sends and events that one message may cause: a full delta of strangers is 256 events. */
const OUTPUTS_PER_INPUT_MAX = 300
/** Signatures that one message may make a member compute (0.1 ms each, really) and check. */
const SIGNED_PER_INPUT_MAX = 4
const VERIFIED_PER_INPUT_MAX = 600
/** Original messages kept, for mutation and for replay. */
const CORPUS_MAX = 512

/** What nobody may achieve by messages. */
export class Harm extends Error {
  override readonly name = 'Harm'
}

interface Seat {
  core: GossipCore
  /** As last seen. */
  incarnation: number
  /** Messages of the liar since then. */
  heard: number
}

export class FuzzedCluster {
  nowMs = 0
  readonly corpus: Uint8Array[] = []
  readonly ids: readonly string[]
  readonly liar: Signer
  readonly invented: readonly Signer[]
  /** The most that one input has caused, and the most that anybody has known. */
  readonly seen = { outputs: 0, signed: 0, verified: 0, members: 0, frameBytes: 0, incarnation: 0 }
  readonly #seats: Seat[]
  readonly #random: Random
  readonly #verify: Verifier
  readonly #config = lanConfig({ membersMax: MEMBERS_MAX, forgetAfterMs: FORGET_AFTER_MS, forgetQuietMs: 5_000 })
  readonly #signers: readonly Signer[]
  #signed = 0
  #verified = 0
  readonly #queue: { from: string; to: Seat; frame: Uint8Array }[] = []

  static async create(random: Random): Promise<FuzzedCluster> {
    const signers = await Promise.all(Array.from({ length: VISITOR + 1 }, (_, i) => signerOf(i)))
    return new FuzzedCluster(
      random,
      signers.map(({ id }) => cheapSigner(id)),
    )
  }

  private constructor(random: Random, signers: readonly Signer[]) {
    this.#random = random
    this.#signers = signers.map((signer) => ({ id: signer.id, sign: (bytes) => (this.#signed++, signer.sign(bytes)) }))
    this.invented = Array.from({ length: INVENTED }, () => cheapSigner(inventedId(random)))
    const known = new Map([...signers, ...this.invented].map((signer) => [signer.id, signer]))
    this.#verify = (id, bytes, signature) => {
      this.#verified++
      const signer = known.get(id)
      return signer !== undefined && Buffer.compare(signer.sign(bytes), signature) === 0
    }
    this.liar = signers[LIAR]!
    this.ids = [...known.keys()]
    this.#seats = signers.slice(0, VISITOR).map((_, i) => this.#seat(i))
    this.#acquaint(this.#seats)
    this.run(3_000)
    this.#visit()
  }

  get honest(): readonly Seat[] {
    return this.#seats.slice(0, HONEST)
  }

  /** The liar's words reach one member. */
  say(frame: Uint8Array): 'heard' | 'refused' {
    const verdict = decodeMessage(frame)
    if (!verdict.ok) return 'refused'
    const seat = pick(this.#random, this.honest)
    seat.heard++
    try {
      this.#input(seat, (core) => core.receive(this.nowMs, this.liar.id, verdict.message))
    } catch (error) {
      throw new Harm(`${error instanceof Error ? error.message : String(error)}: ${shown(verdict.message)}`, {
        cause: error,
      })
    }
    return 'heard'
  }

  /** Time passes: ticks, and everything that members have to say to each other, at once. */
  run(ms: number): void {
    const untilMs = this.nowMs + ms
    for (;;) {
      this.#deliver()
      const next = Math.min(...this.#seats.map(({ core }) => core.nextTickMs))
      if (next > untilMs) break
      this.nowMs = Math.max(this.nowMs, next)
      for (const seat of this.#seats) {
        if (seat.core.nextTickMs <= this.nowMs) this.#input(seat, (core) => core.tick(this.nowMs))
      }
    }
    this.nowMs = untilMs
  }

  /** Something true that is rare: so that there are accusations, refutations and changed facts to lie with. */
  stir(): void {
    const [a, b] = [pick(this.#random, this.#seats), pick(this.#random, this.#seats)]
    const act = this.#random()
    if (act < 0.4) this.#input(this.#seats[LIAR]!, (core) => core.refused(this.nowMs, b.core.id))
    else if (act < 0.6) this.#input(a, (core) => core.closed(this.nowMs, b.core.id))
    else if (act < 0.8) this.#input(a, (core) => core.connected(this.nowMs, b.core.id))
    else {
      const index = this.#seats.indexOf(a)
      const facts = factsOf(index, { capacity: 1 + below(this.#random, 9) })
      this.#input(a, (core) => core.setFacts(this.nowMs, facts))
    }
    for (const seat of this.#seats) {
      seat.core.setLoad(this.nowMs, { load: this.#random(), source: 'flows', ageMs: 0 })
    }
  }

  /** Whatever was said, everybody knows everybody, all are alive, and nobody knows more than allowed. */
  check(): void {
    for (const seat of this.honest) {
      const { core } = seat
      this.#checkIncarnation(seat)
      const members = core.members(this.nowMs)
      this.seen.members = Math.max(this.seen.members, members.length)
      if (members.length > MEMBERS_MAX) throw new Harm(`${members.length} members are known`)
      for (const { core: other } of this.honest) {
        const seen = members.find(({ facts }) => facts.id === other.id)
        if (seen === undefined) throw new Harm(`${other.id} is unknown`)
        if (seen.status === 'dead' || seen.status === 'left') throw new Harm(`${seen.facts.name} is ${seen.status}`)
      }
    }
  }

  /** After the liar has fallen silent: nobody is suspected any more, and all have the same view of each other. */
  checkCalm(): void {
    this.check()
    const view = ({ core }: Seat): string =>
      core
        .members(this.nowMs)
        .filter(({ facts }) => this.honest.some((seat) => seat.core.id === facts.id))
        .map(({ facts, status }) => `${facts.name} ${facts.incarnation} ${status} ${facts.capacity}`)
        .join('; ')
    const views = new Set(this.honest.map(view))
    if (views.size > 1) throw new Harm(`views differ: ${[...views].join(' | ')}`)
    if (/suspect/.test([...views][0]!)) throw new Harm(`still suspected: ${[...views][0]}`)
  }

  #seat(index: number): Seat {
    const core = new GossipCore({
      config: this.#config,
      signer: this.#signers[index]!,
      verify: this.#verify,
      facts: factsOf(index),
      software: 'fuzz',
      incarnation: 1,
      random: this.#random,
      nowMs: this.nowMs,
    })
    return { core, incarnation: 1, heard: 0 }
  }

  #acquaint(seats: readonly Seat[]): void {
    for (const a of seats) {
      for (const b of seats) if (a !== b) this.#input(a, (core) => core.connected(this.nowMs, b.core.id))
    }
  }

  /** One more member joins and takes its leave: its records are there to be replayed. */
  #visit(): void {
    const visitor = this.#seat(VISITOR)
    this.#seats.push(visitor)
    this.#acquaint(this.#seats)
    this.run(1_000)
    this.#input(visitor, (core) => core.leave(this.nowMs))
    this.run(1_000)
    this.#seats.pop()
  }

  #input(seat: Seat, act: (core: GossipCore) => Output[]): void {
    this.#signed = 0
    this.#verified = 0
    const outputs = act(seat.core)
    if (this.#seats.indexOf(seat) < HONEST) this.#checkOutputs(seat, outputs)
    for (const output of outputs) {
      if (output.type !== 'send') continue
      const frame = encodeMessage(output.message)
      this.seen.frameBytes = Math.max(this.seen.frameBytes, frame.length)
      if (frame.length > this.#config.frameBytesMax) throw new Harm(`a frame of ${frame.length} bytes`)
      this.#keep(frame)
      const to = this.#seats.find(({ core }) => core.id === output.to)
      if (to !== undefined) this.#queue.push({ from: seat.core.id, to, frame })
    }
  }

  #checkOutputs(seat: Seat, outputs: readonly Output[]): void {
    this.seen.outputs = Math.max(this.seen.outputs, outputs.length)
    this.seen.signed = Math.max(this.seen.signed, this.#signed)
    this.seen.verified = Math.max(this.seen.verified, this.#verified)
    if (outputs.length > OUTPUTS_PER_INPUT_MAX) throw new Harm(`one input caused ${outputs.length} outputs`)
    if (this.#signed > SIGNED_PER_INPUT_MAX) throw new Harm(`one input made a member sign ${this.#signed} times`)
    if (this.#verified > VERIFIED_PER_INPUT_MAX) throw new Harm(`one input had ${this.#verified} signatures checked`)
    for (const output of outputs) {
      if (output.type !== 'event' || output.event.type !== 'status') continue
      const { facts, status } = output.event.member
      if ((status === 'dead' || status === 'left') && this.honest.some(({ core }) => core.id === facts.id)) {
        throw new Harm(
          `${seat.core.members(this.nowMs).find(({ self }) => self)?.facts.name} says ${facts.name} is ${status}`,
        )
      }
    }
  }

  /** It only grows, and no faster than by one a message. */
  #checkIncarnation(seat: Seat): void {
    const own = seat.core.members(this.nowMs).find(({ self }) => self)!.facts.incarnation
    if (own < seat.incarnation) throw new Harm(`an incarnation fell from ${seat.incarnation} to ${own}`)
    if (own > seat.incarnation + 2 * seat.heard + 1)
      throw new Harm(`${seat.heard} messages raised an incarnation to ${own}`)
    Object.assign(seat, { incarnation: own, heard: 0 })
    this.seen.incarnation = Math.max(this.seen.incarnation, own)
  }

  #deliver(): void {
    for (let i = 0; i < this.#queue.length; i++) {
      const { from, to, frame } = this.#queue[i]!
      const verdict = decodeMessage(frame)
      if (!verdict.ok) throw new Harm(`a core said what no core can read: ${verdict.reason}`)
      this.#input(to, (core) => core.receive(this.nowMs, from, verdict.message))
    }
    this.#queue.length = 0
  }

  /** A uniform sample of all that was said lately. */
  #keep(frame: Uint8Array): void {
    if (this.corpus.length < CORPUS_MAX) this.corpus.push(frame)
    else if (this.#random() < 0.1) this.corpus[below(this.#random, CORPUS_MAX)] = frame
  }
}

/**
 * Signatures that only their owner can make, as far as a fuzzer that does not know the secret can tell: a hash with the
 * id as key. Ed25519 would take nine tenths of the time and is tried elsewhere.
 */
function cheapSigner(id: string): Signer {
  return { id, sign: (bytes) => hash('sha512', Buffer.concat([Buffer.from(`secret of ${id}`), bytes]), 'buffer') }
}

const BASE58 = Array.from('123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz')

function inventedId(random: Random): string {
  return `12D3KooW${Array.from({ length: 44 }, () => pick(random, BASE58)).join('')}`
}

function shown(message: Message): string {
  return JSON.stringify(message, (_key, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value,
  ).slice(0, 2_000)
}
