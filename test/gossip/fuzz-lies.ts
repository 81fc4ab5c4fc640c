/**
 * What a compromised member can say: messages that are well-formed, with fields changed, lists swollen or crossed with
 * those of other messages, and records and accusations signed anew with the one key it has (and with those of members
 * that it invents). It finds its way by shape alone, so that a change of the protocol leaves it working.
 */
import { accuse } from '../../gossip/accusations.ts'
import { encodeMessage } from '../../gossip/codec.ts'
import { parseFacts, signFacts } from '../../gossip/facts-signature.ts'
import type { Signer } from '../../gossip/identity.ts'
import { shortId } from '../../gossip/messages.ts'
import type { Message } from '../../gossip/messages.ts'
import type { Random } from '../../lab/simulate/random.ts'
import { below, pick } from './fuzz-bytes.ts'

/** Whom the liar knows, and in whose name it can sign. */
export interface Liar {
  own: Signer
  /** Identities that it invented: strangers to all, but with genuine signatures. */
  invented: readonly Signer[]
  /** Everybody whom a lie may be about: members, itself, the invented, the departed. */
  ids: readonly string[]
  nowMs: number
}

/** Something that can be replaced: `holder[key]`. */
interface Slot {
  holder: Record<string, unknown> | unknown[]
  key: string | number
}

const SLOTS_MAX = 2_000
const COPIES_MAX = 300
const WORDS = [
  'alive',
  'suspect',
  'dead',
  'left',
  'silent',
  'refused',
  'daemon-only',
  '',
  'x'.repeat(200),
  '\0',
  '__proto__',
]
const TYPES = ['ping', 'ack', 'ping-req', 'relayed-ack', 'nack', 'push']
const EDGES = [
  0,
  1,
  -1,
  0.5,
  2 ** 31,
  2 ** 32,
  2 ** 47,
  2 ** 48 - 1,
  2 ** 48,
  2 ** 53 - 1,
  1e308,
  NaN,
  Infinity,
  -Infinity,
]

/** A lie made of `message`, which is changed, and parts of `other`; undefined if no codec could say it. */
export function lieOf(message: Message, other: Message, liar: Liar, random: Random): Uint8Array | undefined {
  const root: Record<string, unknown> = { message, other }
  for (let n = 1 + below(random, 4); n > 0; n--) {
    const act = random()
    if (act < 0.1) (message as Record<string, unknown>)['type'] = pick(random, TYPES)
    else if (act < 0.45) signAnew(root, liar, random)
    else changeOne(slotsOf(root['message'], root, 'message'), slotsOf(other, root, 'other'), liar, random)
  }
  try {
    return encodeMessage(root['message'] as Message)
  } catch {
    return undefined
  }
}

function slotsOf(value: unknown, holder: Record<string, unknown>, key: string): Slot[] {
  const slots: Slot[] = []
  const visit = (at: Slot, item: unknown): void => {
    if (slots.length >= SLOTS_MAX) return
    slots.push(at)
    if (typeof item !== 'object' || item === null || item instanceof Uint8Array) return
    const inside = item as Record<string, unknown>
    if (Array.isArray(item)) item.forEach((one, i) => visit({ holder: item, key: i }, one))
    else for (const name of Object.keys(item)) visit({ holder: inside, key: name }, inside[name])
  }
  visit({ holder, key }, value)
  // The message itself is no slot.
  return slots.slice(1)
}

function get({ holder, key }: Slot): unknown {
  return (holder as Record<string, unknown>)[key]
}

function put({ holder, key }: Slot, value: unknown): void {
  if (!Object.isFrozen(holder)) (holder as Record<string, unknown>)[key] = value
}

function changeOne(slots: readonly Slot[], others: readonly Slot[], liar: Liar, random: Random): void {
  if (slots.length === 0) return
  const slot = pick(random, slots)
  const value = get(slot)
  if (random() < 0.15) {
    const namesake = others.filter(({ key }) => key === slot.key)
    if (namesake.length > 0) return put(slot, get(pick(random, namesake)))
  }
  put(slot, slot.key === 'key' ? shortId(pick(random, liar.ids)) : changed(value, liar, random))
}

function changed(value: unknown, liar: Liar, random: Random): unknown {
  if (typeof value === 'number') return random() < 0.5 ? value + pick(random, [-1, 1, 2, 1_000]) : pick(random, EDGES)
  if (typeof value === 'boolean') return !value
  if (typeof value === 'string') return changedText(value, liar, random)
  if (value instanceof Uint8Array) return changedBytes(value, random)
  if (Array.isArray(value)) return changedList(value, random)
  return value === null || value === undefined ? pick(random, WORDS) : value
}

function changedText(text: string, { ids }: Liar, random: Random): string {
  const id = pick(random, ids)
  if (text.length === id.length) return id
  // A name of a member in digests is the end of its id.
  const isKey = ids.some((one) => one.endsWith(text)) && text.length > 4
  return isKey ? id.slice(-text.length) : pick(random, WORDS)
}

function changedBytes(bytes: Uint8Array, random: Random): Uint8Array {
  // `slice` of a Buffer is no copy.
  const copy = Uint8Array.from(bytes.subarray(0, random() < 0.3 ? below(random, bytes.length + 1) : bytes.length))
  if (copy.length > 0) copy[below(random, copy.length)]! ^= 1 << below(random, 8)
  return copy
}

function changedList(list: readonly unknown[], random: Random): unknown[] {
  const item = list[below(random, list.length)]
  const act = random()
  if (item === undefined || act < 0.2) return []
  if (act < 0.4) return list.toReversed()
  const copies = 1 + below(random, random() < 0.3 ? COPIES_MAX : 4)
  // Each copy a step further: what is new about the first must not be new about all.
  const more = Array.from({ length: copies }, (_, i) => (act < 0.6 ? item : steppedUp(item, i + 1)))
  return [...list, ...more]
}

function steppedUp(item: unknown, by: number): unknown {
  if (typeof item !== 'object' || item === null || item instanceof Uint8Array) return item
  const entries = Object.entries(item).map(([key, value]) => [key, typeof value === 'number' ? value + by : value])
  return Array.isArray(item) ? entries.map(([, value]) => value as unknown) : (Object.fromEntries(entries) as unknown)
}

// -- signatures ------------------------------------------------------------------------------------------------------

/** Signs some record or accusation anew after changing it: in the liar's own name or an invented one, if it can. */
function signAnew(root: Record<string, unknown>, liar: Liar, random: Random): void {
  const signed = slotsOf(root['message'], root, 'message').filter((slot) => isSigned(get(slot)))
  if (signed.length === 0) return
  const slot = pick(random, signed)
  const value = get(slot) as { bytes?: Uint8Array; accused?: string; incarnation?: number }
  const signer = random() < 0.6 ? liar.own : pick(random, liar.invented)
  put(
    slot,
    value.bytes instanceof Uint8Array
      ? record(value.bytes, signer, liar, random)
      : accusation(value, signer, liar, random),
  )
}

function isSigned(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'signature' in value
}

function record(bytes: Uint8Array, signer: Signer, { ids }: Liar, random: Random): unknown {
  const verdict = parseFacts(bytes)
  if (!verdict.ok) return { bytes, signature: signer.sign(bytes) }
  const { facts, version, left } = verdict.parsed
  const told = {
    facts: {
      ...facts,
      // In somebody else's name the signature is wrong, and nobody may believe it.
      id: random() < 0.8 ? signer.id : pick(random, ids),
      incarnation: pick(random, [facts.incarnation, facts.incarnation + 1, 1, 2 ** 48 - 2, 2 ** 48]),
      name: pick(random, [facts.name, 'somebody-else', `n${below(random, 1_000)}`]),
      homes: random() < 0.2 ? ['10.1.0.101'] : facts.homes,
      announces: random() < 0.2 ? [{ address: '10.1.0.101', epoch: 2 ** 47 }] : facts.announces,
    },
    version: pick(random, [version, version + 1, 2 ** 48 - 1]),
    left: random() < 0.1 ? !left : left,
  }
  try {
    return signFacts(told, signer)
  } catch {
    return { bytes, signature: signer.sign(bytes) }
  }
}

function accusation(
  old: { accused?: string; incarnation?: number },
  signer: Signer,
  { ids, nowMs }: Liar,
  random: Random,
): unknown {
  const accused = {
    id: random() < 0.5 ? pick(random, ids) : (old.accused ?? pick(random, ids)),
    incarnation: (old.incarnation ?? 1) + pick(random, [0, 0, 0, 1, 2]),
  }
  const said = accuse(accused, pick(random, [1, 1, 2, 2 ** 40]), pick(random, ['silent', 'refused']), nowMs, signer)
  return random() < 0.9 ? said : { ...said, accuser: pick(random, ids) }
}
