/**
 * What a node says and hears by multicast DNS (RFC 6762) to find its cluster on a segment, as DNS service discovery
 * (RFC 6763). Pure: packets and the time in, packets and hints out.
 *
 *   question  <tag>._sub._dpr._tcp.local  PTR ?
 *   answer    <tag>._sub._dpr._tcp.local  PTR  <id>._dpr._tcp.local          one for each tag
 *             <id>._dpr._tcp.local        SRV  <port> dpr-<short>.local
 *             dpr-<short>.local           A    <node address>
 *
 * The tag follows from the cluster key (HKDF), so clusters on one segment do not see each other, and it says nothing
 * about the key. A hint is an address worth dialling, no more: whoever answers there must still hold the key.
 */
import { createHash, hkdfSync } from 'node:crypto'
import type { QueryOutgoingPacket, QueryPacket, ResponseOutgoingPacket, ResponsePacket } from 'multicast-dns'
import { isUnicast, parseAddress } from './ipv4.ts'

type Question = QueryOutgoingPacket['questions'][number]
type Answer = ResponseOutgoingPacket['answers'][number]

export const MDNS_PORT = 5353
const SERVICE = '_dpr._tcp.local'
const TAG_BYTES = 8
const TTL_SECONDS = 120
/** RFC 6762, section 6: a record is not multicast again within a second. */
const ANSWER_GAP_MS = 1_000
/** Answers of a shared name wait for a random time, so that they do not collide (RFC 6762, section 6), ms. */
const ANSWER_DELAY_MS = [20, 120] as const
/** After the start, ms; then regularly. */
const FIRST_QUESTIONS_MS: readonly number[] = [0, 1_000, 3_000]
const QUESTION_EVERY_MS = 20_000
/** Hints taken from one packet, and in one second from all. */
const HINTS_PER_PACKET_MAX = 32
const HINTS_PER_SECOND_MAX = 64
/** Of a packet; a real one has four records for each tag. */
const RECORDS_MAX = 128

/** @param secret the 32 bytes of a cluster key */
export function mdnsTag(secret: Uint8Array): string {
  return Buffer.from(hkdfSync('sha256', secret, '', 'dpr mdns name', TAG_BYTES)).toString('hex')
}

export interface MdnsIdentity {
  id: string
  /** Node address. */
  address: string
  port: number
}

export class MdnsRecords {
  readonly #self: MdnsIdentity
  readonly #random: () => number
  #names: readonly string[] = []
  #startedMs: number
  #asked = 0
  #nextQuestionMs: number
  /** When the pending answer goes out; Infinity if nobody waits for one. */
  #answerAtMs = Infinity
  #answeredMs = -Infinity
  #hintSecond = 0
  #hints = 0

  /** @param tags of every key that this node accepts */
  constructor(self: MdnsIdentity, tags: readonly string[], nowMs: number, random: () => number) {
    this.#self = self
    this.#random = random
    this.#startedMs = nowMs
    this.#nextQuestionMs = nowMs
    this.setTags(tags, nowMs)
  }

  /** Other keys count from now on; what is new is asked for as at the start. */
  setTags(tags: readonly string[], nowMs: number): void {
    this.#names = [...new Set(tags)].map((tag) => `${tag}._sub.${SERVICE}`)
    this.#startedMs = nowMs
    this.#nextQuestionMs = nowMs
    this.#asked = 0
  }

  /** When `due` has something to send. */
  get nextMs(): number {
    return Math.min(this.#nextQuestionMs, this.#answerAtMs)
  }

  /** What is to be sent now. */
  due(nowMs: number): { questions?: Question[]; answers?: Answer[] } {
    const packets: { questions?: Question[]; answers?: Answer[] } = {}
    if (nowMs >= this.#nextQuestionMs) {
      packets.questions = this.#names.map((name) => ({ name, type: 'PTR' }))
      this.#asked++
      const next = FIRST_QUESTIONS_MS[this.#asked]
      this.#nextQuestionMs = next === undefined ? this.#nextRegular(nowMs) : this.#startedMs + next
    }
    if (nowMs >= this.#answerAtMs) {
      packets.answers = this.answers(TTL_SECONDS)
      this.#answerAtMs = Infinity
      this.#answeredMs = nowMs
    }
    return packets
  }

  /** Everything this node says about itself. @param ttlSeconds 0 takes it back (RFC 6762, section 10.1) */
  answers(ttlSeconds: number): Answer[] {
    const { id, address, port } = this.#self
    const instance = `${id}.${SERVICE}`
    const host = `dpr-${createHash('sha256').update(id).digest('hex').slice(0, 16)}.local`
    const ttl = ttlSeconds
    return [
      ...this.#names.map((name): Answer => ({ name, type: 'PTR', ttl, data: instance })),
      { name: instance, type: 'SRV', ttl, flush: true, data: { target: host, port, priority: 0, weight: 0 } },
      { name: host, type: 'A', ttl, flush: true, data: address },
    ]
  }

  /** @param port from which the question came: others than mDNS's own want an answer by unicast, which nobody gets */
  question(packet: Partial<Pick<QueryPacket, 'questions'>>, port: number, nowMs: number): void {
    if (port !== MDNS_PORT) return
    const questions = packet.questions ?? []
    if (!questions.slice(0, RECORDS_MAX).some(({ name, type }) => isAsked(type) && this.#isOurs(name))) return
    // Whoever asks asks for us as well, since answers are multicast (RFC 6762, section 7.3).
    if (this.#asked >= FIRST_QUESTIONS_MS.length) this.#nextQuestionMs = this.#nextRegular(nowMs)
    if (this.#answerAtMs !== Infinity) return
    const [least, most] = ANSWER_DELAY_MS
    const delayedMs = nowMs + least + this.#random() * (most - least)
    this.#answerAtMs = Math.max(delayedMs, this.#answeredMs + ANSWER_GAP_MS)
  }

  /** Addresses, `a.b.c.d:port`, at which a node with a key of ours may listen. */
  response(packet: Partial<Pick<ResponsePacket, 'answers' | 'additionals'>>, nowMs: number): string[] {
    const records = [...(packet.answers ?? []), ...(packet.additionals ?? [])].slice(0, RECORDS_MAX)
    const instances = new Set<string>()
    for (const record of records) {
      if (record.type === 'PTR' && this.#isOurs(record.name) && isText(record.data) && lives(record)) {
        instances.add(record.data.toLowerCase())
      }
    }
    const hints = new Set<string>()
    for (const record of records) {
      if (record.type !== 'SRV' || !instances.has(record.name.toLowerCase())) continue
      const { target, port } = record.data
      for (const other of records) {
        if (other.type !== 'A' || !isText(other.data) || !isText(target)) continue
        if (other.name.toLowerCase() !== target.toLowerCase()) continue
        const hint = this.#hint(other.data, port)
        if (hint !== undefined) hints.add(hint)
      }
    }
    return [...hints].slice(0, HINTS_PER_PACKET_MAX).filter(() => this.#mayHint(nowMs))
  }

  #hint(address: string, port: number): string | undefined {
    const { address: own, port: ownPort } = this.#self
    const value = parseAddress(address)
    if (value === undefined || !isUnicast(value) || !Number.isInteger(port) || port < 1 || port > 65_535)
      return undefined
    return address === own && port === ownPort ? undefined : `${address}:${port}`
  }

  #mayHint(nowMs: number): boolean {
    const second = Math.floor(nowMs / 1_000)
    if (second !== this.#hintSecond) {
      this.#hintSecond = second
      this.#hints = 0
    }
    return ++this.#hints <= HINTS_PER_SECOND_MAX
  }

  #nextRegular(nowMs: number): number {
    return nowMs + QUESTION_EVERY_MS * (1 + this.#random() / 4)
  }

  /** DNS names are compared without regard to case. */
  #isOurs(name: unknown): boolean {
    return isText(name) && this.#names.includes(name.toLowerCase())
  }
}

function isAsked(type: string): boolean {
  return type === 'PTR' || type === 'ANY'
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

function lives(record: { ttl?: number | undefined }): boolean {
  return record.ttl !== 0
}
