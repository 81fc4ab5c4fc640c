/**
 * MessagePack for bytes that others sent. A general decoder believes the lengths it reads: five bytes that announce an
 * array of 2^24 make it allocate 128 MB. So the structure is walked first (lengths against what is left, depth, number
 * of values, no extension types), and only then decoded by msgpackr. Format: the MessagePack specification.
 */
import { Packr, RESERVE_START_SPACE } from 'msgpackr'

/** Deepest nesting of arrays and maps; ours is 6. */
const DEPTH_MAX = 8
/** Values of all kinds in one message. */
const VALUES_MAX = 16_384

const codec = new Packr({
  useRecords: false,
  mapsAsObjects: true,
  variableMapSize: true,
  moreTypes: false,
  int64AsType: 'number',
})

/** Messages are written one after the other into buffers of this size: a buffer for each would cost more than its message. */
const BUFFER_BYTES = 65_536
codec.useBuffer(Buffer.allocUnsafeSlow(BUFFER_BYTES))

/** `headBytes` are left free before the value, for the caller to fill. */
export function packValue(value: unknown, headBytes = 0): Uint8Array {
  return codec.pack(value, RESERVE_START_SPACE + headBytes)
}

/**
 * The decoded value, or undefined if the bytes are not exactly one well-formed value within the bounds. Binary values in
 * it are windows on `bytes`.
 */
export function unpackValue(bytes: Uint8Array): unknown {
  if (!isWellFormed(bytes)) return undefined
  try {
    return codec.unpack(bytes) as unknown
  } catch {
    return undefined
  }
}

export function isWellFormed(bytes: Uint8Array): boolean {
  /** Values still to come at each level of nesting. */
  const pending = [1]
  const head: Head = { size: 0, children: 0 }
  let offset = 0
  let values = 0
  while (pending.length > 0) {
    const top = pending.length - 1
    if (pending[top] === 0) {
      pending.pop()
      continue
    }
    pending[top]!--
    if (++values > VALUES_MAX || offset >= bytes.length) return false
    if (!measure(bytes, offset, head)) return false
    offset += head.size
    if (offset > bytes.length || head.children > bytes.length - offset) return false
    if (head.children > 0) {
      if (pending.length >= DEPTH_MAX) return false
      pending.push(head.children)
    }
  }
  return offset === bytes.length
}

interface Head {
  /** Bytes of the value itself, or of an array's or map's header. */
  size: number
  /** Values inside. */
  children: number
}

/** Sizes of the fixed-length types 0xca … 0xd3: float 32/64, uint 8/16/32/64, int 8/16/32/64. */
const FIXED_SIZES = [5, 9, 2, 3, 5, 9, 2, 3, 5, 9]

/** Fills in the head of the value at this place; false if there is none that we take. */
function measure(bytes: Uint8Array, offset: number, head: Head): boolean {
  const type = bytes[offset]!
  head.size = 1
  head.children = 0
  if (type <= 0x7f || type >= 0xe0 || type === 0xc0 || type === 0xc2 || type === 0xc3) return true
  if (type <= 0x8f) head.children = 2 * (type & 0x0f)
  else if (type <= 0x9f) head.children = type & 0x0f
  else if (type <= 0xbf) head.size = 1 + (type & 0x1f)
  else if (type >= 0xca && type <= 0xd3) head.size = FIXED_SIZES[type - 0xca]!
  else {
    const lengthBytes = LENGTH_BYTES.get(type)
    if (lengthBytes === undefined || offset + 1 + lengthBytes > bytes.length) return false
    const length = readLength(bytes, offset + 1, lengthBytes)
    head.size = 1 + lengthBytes
    if (type >= 0xde) head.children = 2 * length
    else if (type >= 0xdc) head.children = length
    else head.size += length
  }
  return true
}

/** bin 8/16/32, str 8/16/32, array 16/32, map 16/32. Extension types are absent on purpose. */
const LENGTH_BYTES = new Map([
  [0xc4, 1],
  [0xc5, 2],
  [0xc6, 4],
  [0xd9, 1],
  [0xda, 2],
  [0xdb, 4],
  [0xdc, 2],
  [0xdd, 4],
  [0xde, 2],
  [0xdf, 4],
])

function readLength(bytes: Uint8Array, offset: number, lengthBytes: number): number {
  let length = 0
  for (let at = offset; at < offset + lengthBytes; at++) length = length * 256 + bytes[at]!
  return length
}
