/** IPIP frames for the fallback decapsulator's tests: readable fields in, bytes out, with right checksums. */

export interface FrameFields {
  destinationMac: number[]
  etherType: number
  outerVersionIhl: number
  outerTos: number
  outerFragment: number
  outerProtocol: number
  outerSource: string
  outerDestination: string
  /** Added to the right checksum. */
  outerChecksumError: number
  innerVersionIhl: number
  innerTos: number
  innerSource: string
  innerDestination: string
  /** Bytes behind the inner header. */
  payloadBytes: number
}

/** The frame of a member that holds to all the rules; the addresses are those of the tests' hosts. */
export const GOOD: Readonly<FrameFields> = {
  destinationMac: [0, 0, 0, 0, 0, 0],
  etherType: 0x0800,
  outerVersionIhl: 0x45,
  outerTos: 0,
  outerFragment: 0x4000,
  outerProtocol: 4,
  outerSource: '10.1.0.1',
  outerDestination: '10.1.0.2',
  outerChecksumError: 0,
  innerVersionIhl: 0x45,
  innerTos: 0,
  innerSource: '192.0.2.9',
  innerDestination: '10.1.0.101',
  payloadBytes: 20,
}

export function frame(fields: FrameFields): Buffer {
  const inner = ipv4({
    versionIhl: fields.innerVersionIhl,
    tos: fields.innerTos,
    fragment: 0x4000,
    protocol: 6,
    source: fields.innerSource,
    destination: fields.innerDestination,
    bytes: 20 + fields.payloadBytes,
  })
  const outer = ipv4({
    versionIhl: fields.outerVersionIhl,
    tos: fields.outerTos,
    fragment: fields.outerFragment,
    protocol: fields.outerProtocol,
    source: fields.outerSource,
    destination: fields.outerDestination,
    bytes: 40 + fields.payloadBytes,
  })
  outer.writeUInt16BE((outer.readUInt16BE(10) + fields.outerChecksumError) & 0xffff, 10)
  const payload = Buffer.from(Array.from({ length: fields.payloadBytes }, (_, i) => i & 0xff))
  return Buffer.concat([ethernet(fields), outer, inner, payload])
}

/** What is left of a frame when the outer header is gone; the inner TOS may have been marked on the way. */
export function stripped(fields: FrameFields, innerTos = fields.innerTos): Buffer {
  const whole = frame({ ...fields, innerTos })
  return Buffer.concat([whole.subarray(0, 14), whole.subarray(34)])
}

function ethernet({ destinationMac, etherType }: FrameFields): Buffer {
  return Buffer.from([...destinationMac, 2, 0, 0, 0, 0, 1, etherType >> 8, etherType & 0xff])
}

function ipv4(header: {
  versionIhl: number
  tos: number
  fragment: number
  protocol: number
  source: string
  destination: string
  bytes: number
}): Buffer {
  const bytes = Buffer.alloc(20)
  bytes[0] = header.versionIhl
  bytes[1] = header.tos
  bytes.writeUInt16BE(header.bytes, 2)
  bytes.writeUInt16BE(0x1234, 4)
  bytes.writeUInt16BE(header.fragment, 6)
  bytes[8] = 64
  bytes[9] = header.protocol
  bytes.set(header.source.split('.').map(Number), 12)
  bytes.set(header.destination.split('.').map(Number), 16)
  let sum = 0
  for (let at = 0; at < 20; at += 2) sum += bytes.readUInt16BE(at)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16)
  bytes.writeUInt16BE(~sum & 0xffff, 10)
  return bytes
}
