/**
 * The decapsulating program, frame by frame: the kernel runs it on bytes that we hand over (BPF_PROG_TEST_RUN), so no
 * device and no namespace is involved. A table in words, then random frames against a plain model of the rules.
 */
import { closeSync } from 'node:fs'
import { arch } from 'node:os'
import * as fc from 'fast-check'
import koffi from 'koffi'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AddressMap, addressBytes } from '../../datapath/bpf-loader/address-map.ts'
import { assemble, exit } from '../../datapath/bpf-loader/assembler.ts'
import { loadClassifier } from '../../datapath/bpf-loader/bpf.ts'
import { DatapathError } from '../../datapath/errors.ts'
import { decapProgram } from '../../datapath/host/fallback-decap-program.ts'
import { frame, GOOD, stripped, type FrameFields } from './fallback-decap-frames.ts'

const OWN = ['10.1.0.2', '172.16.0.2', '200.0.0.2']
const MEMBERS = ['10.1.0.1', '10.1.0.3', '200.0.0.1']
const PUBLISHED = ['10.1.0.101', '203.0.113.7']
const PASSED = 0xffffffff // TC_ACT_UNSPEC
const DELIVERED = 0 // TC_ACT_OK
const DROPPED = 2 // TC_ACT_SHOT

const testRun = koffi.struct({
  fd: 'uint32',
  verdict: 'uint32',
  bytesIn: 'uint32',
  bytesOut: 'uint32',
  dataIn: 'void *',
  dataOut: 'void *',
  repeat: 'uint32',
  durationNs: 'uint32',
})
const BPF_PROG_TEST_RUN = 10
const syscall = koffi.load(null).func('syscall', 'long', ['long', 'int', koffi.inout(koffi.pointer(testRun)), 'uint32'])

function run(fd: number, dataIn: Buffer): { verdict: number; frame: Buffer } {
  const dataOut = Buffer.alloc(2_048)
  const attributes = {
    fd,
    verdict: 0,
    bytesIn: dataIn.length,
    bytesOut: dataOut.length,
    dataIn,
    dataOut,
    repeat: 1,
    durationNs: 0,
  }
  const number = arch() === 'arm64' ? 280 : 321
  const result = (syscall as (...args: unknown[]) => number)(
    number,
    BPF_PROG_TEST_RUN,
    attributes,
    koffi.sizeof(testRun),
  )
  if (result < 0) throw new Error(`test run: errno ${koffi.errno()}`)
  return { verdict: attributes.verdict, frame: dataOut.subarray(0, attributes.bytesOut) }
}

const members = new AddressMap('test_members')
const published = new AddressMap('test_published')
let program = -1

beforeAll(() => {
  members.replace(MEMBERS)
  published.replace(PUBLISHED)
  const own = OWN.map(addressBytes)
  program = loadClassifier('test', decapProgram({ own, membersMap: members.open(), publishedMap: published.open() }))
})

afterAll(() => {
  if (program >= 0) closeSync(program)
  members.close()
  published.close()
})

describe('stripped and delivered', () => {
  test.each<[string, Partial<FrameFields>]>([
    ['a member’s IPIP to the node address', {}],
    ['to another address of this host', { outerDestination: '172.16.0.2' }],
    [
      'addresses above 128.0.0.0',
      { outerSource: '200.0.0.1', outerDestination: '200.0.0.2', innerSource: '223.255.255.255' },
    ],
    ['to another published address', { innerDestination: '203.0.113.7' }],
    ['outer DF clear', { outerFragment: 0 }],
    ['inner header with options', { innerVersionIhl: 0x46 }],
    ['nothing behind the inner header', { payloadBytes: 0 }],
    ['a full frame', { payloadBytes: 1_440 }],
    ['outer ECT(0), inner ECT(0)', { outerTos: 2, innerTos: 2 }],
    ['outer DSCP differs from the inner one', { outerTos: 0xb8, innerTos: 0x28 }],
  ])('%s', (_name, change) => {
    const fields = { ...GOOD, ...change }
    expect(run(program, frame(fields))).toEqual({ verdict: DELIVERED, frame: stripped(fields) })
  })
})

describe('RFC 6040: an outer congestion mark', () => {
  test.each<[string, number, number]>([
    ['marks ECT(0)', 0x02, 0x03],
    ['marks ECT(1)', 0x01, 0x03],
    ['stays on CE', 0x03, 0x03],
    ['leaves DSCP alone', 0xb9, 0xbb],
  ])('%s', (_name, innerTos, marked) => {
    const fields = { ...GOOD, outerTos: 3, innerTos }
    expect(run(program, frame(fields))).toEqual({ verdict: DELIVERED, frame: stripped(fields, marked) })
  })
  test('drops what is not ECN-capable', () => {
    expect(run(program, frame({ ...GOOD, outerTos: 3, innerTos: 0xb8 })).verdict).toBe(DROPPED)
  })
})

describe('passed on untouched', () => {
  test.each<[string, Partial<FrameFields>]>([
    ['a frame for another host’s MAC', { destinationMac: [2, 0, 0, 0, 0, 9] }],
    ['a broadcast frame', { destinationMac: [255, 255, 255, 255, 255, 255] }],
    ['IPv6', { etherType: 0x86dd }],
    ['plain TCP', { outerProtocol: 6 }],
    ['IPv6 in IPv4', { outerProtocol: 41 }],
    ['outer options', { outerVersionIhl: 0x46 }],
    ['outer version 6', { outerVersionIhl: 0x65 }],
    ['a first fragment', { outerFragment: 0x2000 }],
    ['a later fragment', { outerFragment: 0x0001 }],
    ['a last fragment far behind', { outerFragment: 0x1f00 }],
    ['a wrong outer checksum', { outerChecksumError: 1 }],
    ['a stranger’s tunnel', { outerSource: '10.1.0.9' }],
    ['a tunnel to somebody else', { outerDestination: '10.1.0.3' }],
    ['a tunnel to a published address', { outerDestination: '10.1.0.101' }],
    ['inner version 6', { innerVersionIhl: 0x65 }],
    ['to an address that is not published', { innerDestination: '10.1.0.102' }],
    ['to the node address', { innerDestination: '10.1.0.2' }],
    ['from 0.0.0.0', { innerSource: '0.0.0.0' }],
    ['from loopback', { innerSource: '127.0.0.1' }],
    ['from multicast', { innerSource: '224.0.0.1' }],
    ['from broadcast', { innerSource: '255.255.255.255' }],
    ['from a member', { innerSource: '10.1.0.3' }],
    ['from the tunnel’s own source', { innerSource: '10.1.0.1' }],
    ['from this host', { innerSource: '10.1.0.2' }],
    ['from another address of this host', { innerSource: '200.0.0.2' }],
  ])('%s', (_name, change) => {
    const bytes = frame({ ...GOOD, ...change })
    expect(run(program, bytes)).toEqual({ verdict: PASSED, frame: bytes })
  })

  test.each([34, 40, 53])('a frame cut off after %i bytes', (bytes) => {
    const cut = frame(GOOD).subarray(0, bytes)
    expect(run(program, cut)).toEqual({ verdict: PASSED, frame: cut })
  })
})

describe('maps are looked at anew for every frame', () => {
  test('a member that leaves is a stranger, and one that comes is not', () => {
    const newcomer = frame({ ...GOOD, outerSource: '10.1.0.77' })
    members.replace(['10.1.0.77'])
    expect(run(program, frame(GOOD)).verdict).toBe(PASSED)
    expect(run(program, newcomer).verdict).toBe(DELIVERED)
    members.replace(MEMBERS)
    expect(run(program, frame(GOOD)).verdict).toBe(DELIVERED)
    expect(run(program, newcomer).verdict).toBe(PASSED)
  })
})

describe('random frames against the rules in plain words', () => {
  const addresses = [...OWN, ...MEMBERS, ...PUBLISHED, '0.1.2.3', '127.9.9.9', '192.0.2.9', '239.1.1.1', '240.0.0.1']
  // Good values often, so that many frames reach the last rules.
  const field = <T>(good: T, ...others: T[]) =>
    fc.oneof({ weight: 12, arbitrary: fc.constant(good) }, { weight: 1, arbitrary: fc.constantFrom(good, ...others) })
  const fields = fc.record<FrameFields>({
    destinationMac: field([0, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 9]),
    etherType: field(0x0800, 0x86dd, 0x0806),
    outerVersionIhl: field(0x45, 0x46, 0x4f, 0x55),
    outerTos: fc.nat(255),
    outerFragment: field(0x4000, 0, 0x2000, 0x1fff, 0x8000),
    outerProtocol: field(4, 6, 17, 41, 47),
    outerSource: field(MEMBERS[0]!, ...addresses),
    outerDestination: field(OWN[0]!, ...addresses),
    outerChecksumError: field(0, 1, 0x100, 0xfffe),
    innerVersionIhl: field(0x45, 0x4f, 0x65, 0x05),
    innerTos: fc.nat(255),
    innerSource: field('192.0.2.9', ...addresses),
    innerDestination: field(PUBLISHED[0]!, ...addresses),
    payloadBytes: fc.nat(64),
  })

  function expected(f: FrameFields): { verdict: number; frame: Buffer } {
    const untouched = { verdict: PASSED, frame: frame(f) }
    if (f.destinationMac.some((byte) => byte !== 0) || f.etherType !== 0x0800) return untouched
    if (f.outerVersionIhl !== 0x45 || f.outerProtocol !== 4 || (f.outerFragment & 0x3fff) !== 0) return untouched
    if (!OWN.includes(f.outerDestination) || !MEMBERS.includes(f.outerSource)) return untouched
    if (f.outerChecksumError !== 0 || f.innerVersionIhl >> 4 !== 4) return untouched
    if (!PUBLISHED.includes(f.innerDestination)) return untouched
    const first = Number(f.innerSource.split('.')[0])
    if (first === 0 || first === 127 || first >= 224) return untouched
    if (OWN.includes(f.innerSource) || MEMBERS.includes(f.innerSource)) return untouched
    if ((f.outerTos & 3) !== 3) return { verdict: DELIVERED, frame: stripped(f) }
    if ((f.innerTos & 3) === 0) return { verdict: DROPPED, frame: frame(f) }
    return { verdict: DELIVERED, frame: stripped(f, f.innerTos | 3) }
  }

  test('agree', () => {
    const seen = new Set<number>()
    fc.assert(
      fc.property(fields, (f) => {
        const result = run(program, frame(f))
        seen.add(result.verdict)
        expect(result).toEqual(expected(f))
      }),
      { seed: 2003, numRuns: 3_000 },
    )
    expect([...seen].sort((a, b) => a - b)).toEqual([DELIVERED, DROPPED, PASSED])
  })
})

describe('a program that the verifier refuses', () => {
  test('is an E_NO_BPF with the verifier’s words', () => {
    let refusal: unknown
    try {
      loadClassifier('refused', assemble([exit()])) // r0 was never set
    } catch (error) {
      refusal = error
    }
    expect(refusal).toBeInstanceOf(DatapathError)
    expect(refusal).toMatchObject({ code: 'E_NO_BPF', message: expect.stringMatching(/R0 !read_ok/) as unknown })
  })
})
