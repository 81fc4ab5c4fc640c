/**
 * The classifier that takes IPIP apart inside the kernel while no daemon runs (RFC 2003, section 3.1): a pure function
 * from addresses and map descriptors to machine code. What it lets through is as narrow as the engine's own rule, since
 * the inner packet passes behind the host's firewall for protocol 4.
 *
 * It strips the outer header of a frame if all of this holds, and passes every other frame on untouched:
 *   frame     addressed to the interface itself, IPv4
 *   outer     no options, no fragment, protocol 4, destination one of our own addresses, source in `members`, sum right
 *   inner     IPv4, destination in `published`, source not 0/8, 127/8, 224/3 (multicast and above), ours or a member's
 * ECN by RFC 6040: outer CE marks the inner packet, and drops one that never asked for ECN. The outer ECT(1) that would
 * override an inner ECT(0) does not: only experiments tell the two apart.
 */
import {
  add,
  addRegister,
  and,
  assemble,
  call,
  copy,
  exit,
  FRAME,
  jump,
  jumpIf,
  jumpIfNull,
  jumpUnlessNull,
  label,
  load16,
  load32,
  load8,
  loadMap,
  set,
  shiftRight,
  type Line,
} from '../bpf-loader/assembler.ts'

/** struct __sk_buff of linux/bpf.h. */
const SKB_PKT_TYPE = 4
const SKB_PROTOCOL = 16
const PACKET_HOST = 0

/** enum bpf_func_id. */
const MAP_LOOKUP_ELEM = 1
const CSUM_DIFF = 28
const SKB_ADJUST_ROOM = 50
const SKB_LOAD_BYTES_RELATIVE = 68
const SKB_ECN_SET_CE = 97

const BPF_HDR_START_NET = 1
const BPF_ADJ_ROOM_MAC = 1
/** Super-packets keep their segment size: that of the inner packets was chosen with the outer header in mind. */
const BPF_F_ADJ_ROOM_FIXED_GSO = 1

const TC_ACT_UNSPEC = -1
const TC_ACT_OK = 0
const TC_ACT_SHOT = 2

const IPV4_BYTES = 20
/** Both headers are copied to the stack: outer first, the inner one behind it. */
const OUTER = -2 * IPV4_BYTES
const INNER = -IPV4_BYTES
/** Offsets in an IPv4 header (RFC 791). */
const VERSION = 0
const TOS = 1
const FRAGMENT = 6
const PROTOCOL = 9
const SOURCE = 12
const DESTINATION = 16
const IPPROTO_IPIP = 4
const ECN = 0x03
const CE = 3

const [r0, r1, r2, r3, r4, r5, skb, outerEcn] = [0, 1, 2, 3, 4, 5, 6, 7] as const

export interface DecapAddresses {
  /** This host's own addresses in which tunnels may end, 4 bytes each. */
  own: Uint8Array[]
  /** Descriptors of hash maps with 4-byte keys, addresses in network order. */
  membersMap: number
  publishedMap: number
}

export function decapProgram({ own, membersMap, publishedMap }: DecapAddresses): Uint8Array {
  return assemble([
    copy(skb, r1),
    load32(r2, skb, SKB_PKT_TYPE),
    jumpIf(r2, '!=', PACKET_HOST, 'pass'),
    load32(r2, skb, SKB_PROTOCOL),
    jumpIf(r2, '!=', network16(0x0800), 'pass'),

    copy(r1, skb),
    set(r2, 0),
    copy(r3, FRAME),
    add(r3, OUTER),
    set(r4, 2 * IPV4_BYTES),
    set(r5, BPF_HDR_START_NET),
    call(SKB_LOAD_BYTES_RELATIVE),
    jumpIf(r0, '!=', 0, 'pass'),

    load8(r2, FRAME, OUTER + VERSION),
    jumpIf(r2, '!=', 0x45, 'pass'),
    load8(r2, FRAME, OUTER + PROTOCOL),
    jumpIf(r2, '!=', IPPROTO_IPIP, 'pass'),
    load16(r2, FRAME, OUTER + FRAGMENT),
    jumpIf(r2, '&', network16(0x3fff), 'pass'),
    load32(r2, FRAME, OUTER + DESTINATION),
    ...own.map((address) => jumpIf(r2, '==', network32(address), 'ours')),
    jump('pass'),
    label('ours'),
    ...lookUp(membersMap, OUTER + SOURCE),
    jumpIfNull(r0, 'pass'),
    ...outerSumOrPass(),

    load8(r2, FRAME, INNER + VERSION),
    and(r2, 0xf0),
    jumpIf(r2, '!=', 0x40, 'pass'),
    ...lookUp(publishedMap, INNER + DESTINATION),
    jumpIfNull(r0, 'pass'),
    load8(r2, FRAME, INNER + SOURCE),
    jumpIf(r2, '==', 0, 'pass'),
    jumpIf(r2, '==', 127, 'pass'),
    jumpIf(r2, '>=', 224, 'pass'),
    load32(r2, FRAME, INNER + SOURCE),
    ...own.map((address) => jumpIf(r2, '==', network32(address), 'pass')),
    ...lookUp(membersMap, INNER + SOURCE),
    jumpUnlessNull(r0, 'pass'),

    load8(outerEcn, FRAME, OUTER + TOS),
    and(outerEcn, ECN),
    jumpIf(outerEcn, '!=', CE, 'strip'),
    load8(r2, FRAME, INNER + TOS),
    jumpIf(r2, '&', ECN, 'strip'),
    set(r0, TC_ACT_SHOT),
    exit(),

    // The flag that names the inner IP version is left out: it says nothing where the version stays the same, and
    // kernels before 6.3 refuse it.
    label('strip'),
    copy(r1, skb),
    set(r2, -IPV4_BYTES),
    set(r3, BPF_ADJ_ROOM_MAC),
    set(r4, BPF_F_ADJ_ROOM_FIXED_GSO),
    call(SKB_ADJUST_ROOM),
    jumpIf(r0, '!=', 0, 'pass'),
    jumpIf(outerEcn, '!=', CE, 'deliver'),
    copy(r1, skb),
    call(SKB_ECN_SET_CE),
    label('deliver'),
    set(r0, TC_ACT_OK),
    exit(),

    label('pass'),
    set(r0, TC_ACT_UNSPEC),
    exit(),
  ])
}

/** r0 = the map's entry for the 4 bytes at `offset` of the stack, or null. */
function lookUp(map: number, offset: number): Line[] {
  return [loadMap(r1, map), copy(r2, FRAME), add(r2, offset), call(MAP_LOOKUP_ELEM)]
}

/** Nobody behind us looks at the outer header again, so its checksum is checked here: the folded sum is all ones. */
function outerSumOrPass(): Line[] {
  const fold = [copy(r1, r0), and(r1, 0xffff), shiftRight(r0, 16), addRegister(r0, r1)]
  return [
    set(r1, 0),
    set(r2, 0),
    copy(r3, FRAME),
    add(r3, OUTER),
    set(r4, IPV4_BYTES),
    set(r5, 0),
    call(CSUM_DIFF),
    ...fold,
    ...fold,
    jumpIf(r0, '!=', 0xffff, 'pass'),
  ]
}

/** Network order as a little-endian processor reads it. */
function network16(value: number): number {
  return ((value & 0xff) << 8) | (value >> 8)
}

function network32(address: Uint8Array): number {
  return new DataView(address.buffer, address.byteOffset).getUint32(0, true)
}
