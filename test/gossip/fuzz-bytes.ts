/**
 * Mutations of encoded messages: one byte of version, then MessagePack. Blind ones (flipped bits, cut ends) are stopped
 * by the outermost checks, so most of these know where values begin and end, and lie about one thing at a time:
 * a length, a type, a number, the depth, a key that comes twice.
 */
import type { Random } from '../../lab/simulate/random.ts'

/** One value inside the bytes: its header, then what it contains. */
interface Value {
  kind: 'array' | 'map' | 'bytes' | 'text' | 'number' | 'other'
  at: number
  /** Where the header ends. */
  body: number
  end: number
  /** Items, pairs or bytes. */
  count: number
}

/** The other messages that are around: material to splice in. */
export type Corpus = readonly Uint8Array[]

const VERSION_BYTES = 1
const NESTING_MAX = 20_000

/** Every mutation yields new bytes and leaves the original alone. */
export type ByteMutation = (original: Uint8Array, random: Random, corpus: Corpus) => Uint8Array

export const BYTE_MUTATIONS: Readonly<Record<string, ByteMutation>> = {
  'flipped bits': (original, random) => {
    const bytes = Uint8Array.from(original)
    for (let n = 1 + below(random, 8); n > 0; n--) bytes[below(random, bytes.length)]! ^= 1 << below(random, 8)
    return bytes
  },
  'a cut end': (original, random) => original.subarray(0, below(random, original.length)),
  'bytes after the end': (original, random) => join(original, noise(random, 1 + below(random, 16))),
  'a hole': (original, random) => {
    const at = below(random, original.length)
    return join(original.subarray(0, at), original.subarray(at + 1 + below(random, 32)))
  },
  'noise alone': (original, random) => join(original.subarray(0, VERSION_BYTES), noise(random, below(random, 64))),
  'another version': (original, random) => {
    const bytes = Uint8Array.from(original)
    bytes[0] = below(random, 256)
    return bytes
  },
  'a length that lies': (original, random) =>
    withValue(original, random, ['array', 'map', 'bytes', 'text'], (value) => {
      const lies = [0, value.count + 1, Math.max(0, value.count - 1), 0xffff, 0x7fff_ffff, 0xffff_ffff]
      return join(header(value.kind, pick(random, lies)), original.subarray(value.body, value.end))
    }),
  'another type': (original, random) => withValue(original, random, undefined, () => pick(random, ODDITIES)),
  'a huge number': (original, random) => withValue(original, random, ['number'], () => pick(random, NUMBERS)),
  'nesting without end': (original, random) =>
    withValue(original, random, undefined, () => {
      const levels = new Uint8Array(1 + below(random, random() < 0.1 ? NESTING_MAX : 40)).fill(
        random() < 0.5 ? 0x91 : 0x81,
      )
      return join(levels, Uint8Array.of(0xc0))
    }),
  'a key that comes twice': (original, random, corpus) =>
    withValue(original, random, ['map'], (value) => {
      const pairs = pairsOf(original, value)
      const pair = pairs[below(random, pairs.length)]
      if (pair === undefined) return original.subarray(value.at, value.end)
      const again = join(original.subarray(pair[0].at, pair[0].end), valueFrom(corpus, random))
      return join(header('map', value.count + 1), original.subarray(value.body, value.end), again)
    }),
  'an item many times': (original, random) =>
    withValue(original, random, ['array'], (value) => {
      const items = childrenOf(original, value)
      const item = items[below(random, items.length)]
      if (item === undefined) return header('array', 0)
      const copies = 1 + below(random, random() < 0.1 ? 2_000 : 20)
      const more = Array.from({ length: copies }, () => original.subarray(item.at, item.end))
      return join(header('array', value.count + copies), original.subarray(value.body, value.end), ...more)
    }),
  'an item less': (original, random) =>
    withValue(original, random, ['array'], (value) => {
      const items = childrenOf(original, value)
      const item = items[below(random, items.length)]
      if (item === undefined) return header('array', 1)
      return join(
        header('array', value.count - 1),
        original.subarray(value.body, item.at),
        original.subarray(item.end, value.end),
      )
    }),
  'a value of another message': (original, random, corpus) =>
    withValue(original, random, undefined, () => valueFrom(corpus, random)),
  'two messages crossed': (original, random, corpus) => {
    const other = pick(random, corpus)
    return join(original.subarray(0, below(random, original.length)), other.subarray(below(random, other.length)))
  },
}

// -- reading MessagePack, as far as well-formed bytes need -----------------------------------------------------------

/** All values in the bytes, the outermost first; what cannot be read ends the list. */
function valuesOf(bytes: Uint8Array): Value[] {
  const values: Value[] = []
  readValue(bytes, VERSION_BYTES, values)
  return values
}

function readValue(bytes: Uint8Array, at: number, into: Value[]): number {
  const head = readHeader(bytes, at)
  if (head === undefined || head.body > bytes.length) return bytes.length
  const value = { ...head, at, end: head.body }
  into.push(value)
  if (value.kind === 'bytes' || value.kind === 'text') value.end += value.count
  const children = value.kind === 'map' ? 2 * value.count : value.kind === 'array' ? value.count : 0
  for (let i = 0; i < children && value.end < bytes.length; i++) value.end = readValue(bytes, value.end, into)
  return value.end
}

function childrenOf(bytes: Uint8Array, parent: Value): Value[] {
  const children: Value[] = []
  for (let at = parent.body; at < parent.end;) {
    const inside: Value[] = []
    at = readValue(bytes, at, inside)
    if (inside[0] === undefined) break
    children.push(inside[0])
  }
  return children
}

function pairsOf(bytes: Uint8Array, map: Value): [Value, Value][] {
  const children = childrenOf(bytes, map)
  return Array.from({ length: children.length >> 1 }, (_, i) => [children[2 * i]!, children[2 * i + 1]!])
}

function readHeader(bytes: Uint8Array, at: number): { kind: Value['kind']; body: number; count: number } | undefined {
  const type = bytes[at]
  if (type === undefined) return undefined
  const of = (kind: Value['kind'], size: number, count = 0) => ({ kind, body: at + 1 + size, count })
  const length = (size: number): number => {
    let value = 0
    for (let i = 1; i <= size; i++) value = value * 256 + (bytes[at + i] ?? 0)
    return value
  }
  if (type <= 0x7f || type >= 0xe0) return of('number', 0)
  if (type <= 0x8f) return of('map', 0, type & 0x0f)
  if (type <= 0x9f) return of('array', 0, type & 0x0f)
  if (type <= 0xbf) return of('text', 0, type & 0x1f)
  if (type >= 0xca && type <= 0xd3) return of('number', [4, 8, 1, 2, 4, 8, 1, 2, 4, 8][type - 0xca]!)
  const sized = SIZED.find(({ first, sizes }) => type >= first && type < first + sizes.length)
  if (sized === undefined) return of('other', 0)
  const size = sized.sizes[type - sized.first]!
  return of(sized.kind, size, length(size))
}

const SIZED = [
  { kind: 'bytes', first: 0xc4, sizes: [1, 2, 4] },
  { kind: 'text', first: 0xd9, sizes: [1, 2, 4] },
  { kind: 'array', first: 0xdc, sizes: [2, 4] },
  { kind: 'map', first: 0xde, sizes: [2, 4] },
] as const

/** The header of a value that claims `count` items, pairs or bytes. */
function header(kind: Value['kind'], count: number): Uint8Array {
  const short = { array: [0x90, 15], map: [0x80, 15], text: [0xa0, 31] }[kind as 'array' | 'map' | 'text']
  if (short !== undefined && count <= short[1]!) return Uint8Array.of(short[0]! | count)
  const wide = { array: 0xdd, map: 0xdf, text: 0xdb, bytes: 0xc6, number: 0xce, other: 0xc6 }[kind]
  const bytes = new Uint8Array(5)
  bytes[0] = wide
  new DataView(bytes.buffer).setUint32(1, count)
  return bytes
}

/** Numbers at the edges of what their types can say, as MessagePack. */
const NUMBERS: readonly Uint8Array[] = [
  '00',
  '7f',
  'ff',
  'e0',
  'ccff',
  'cdffff',
  'ceffffffff',
  'cfffffffffffffffff',
  'cf0001000000000000',
  'cf0000ffffffffffff',
  'd080',
  'd18000',
  'd280000000',
  'd38000000000000000',
  'd37fffffffffffffff',
  'ca7fc00000',
  'ca7f800000',
  'cb7ff8000000000000',
  'cbfff0000000000000',
  'cb7fefffffffffffff',
  'cb3fe0000000000000',
  'cb8000000000000000',
].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex')))

/** Values of every other type, extensions and reserved bytes among them. */
const ODDITIES: readonly Uint8Array[] = [
  'c0',
  'c1',
  'c2',
  'c3',
  '80',
  '90',
  'a0',
  'c400',
  'c403010203',
  'a3616263',
  '9101',
  '81a16100',
  'd40000',
  'd6ff00000000',
  'c70000',
  'd7ff0000000000000000',
  '81a95f5f70726f746f5f5f80',
  '81ab636f6e7374727563746f7200',
  'd94161',
  '05',
  'cb4000000000000000',
].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex')))

// -- putting bytes together ------------------------------------------------------------------------------------------

function withValue(
  original: Uint8Array,
  random: Random,
  kinds: readonly Value['kind'][] | undefined,
  replace: (value: Value) => Uint8Array,
): Uint8Array {
  const values = valuesOf(original).filter(({ kind }) => kinds === undefined || kinds.includes(kind))
  const value = values[below(random, values.length)]
  if (value === undefined) return join(original, Uint8Array.of(0xc0))
  return join(original.subarray(0, value.at), replace(value), original.subarray(value.end))
}

function valueFrom(corpus: Corpus, random: Random): Uint8Array {
  const other = pick(random, corpus)
  const { at, end } = pick(random, valuesOf(other))
  return other.subarray(at, end)
}

function noise(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => below(random, 256))
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts)
}

export function below(random: Random, end: number): number {
  return Math.floor(random() * end)
}

/** One of a list that is not empty. */
export function pick<T>(random: Random, list: readonly T[]): T {
  return list[below(random, list.length)]!
}
