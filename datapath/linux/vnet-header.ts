/**
 * struct virtio_net_hdr, which precedes every frame of a TAP with IFF_VNET_HDR and of a packet socket with
 * PACKET_VNET_HDR (OASIS virtio 1.2, 5.1.6). Host byte order; both supported machines are little-endian.
 *
 *   0 flags | 1 gso type | 2 header length | 4 gso size | 6 checksum start | 8 checksum offset      (10 bytes)
 *
 * Checksum start counts from the start of the frame, Ethernet header included.
 */
export const VNET_HEADER_BYTES = 10
/** The checksum field holds the pseudo-header's sum; the rest is still to be added from checksum start on. */
export const NEEDS_CSUM = 1
/** The sender of the frame (a NIC, say) has already verified the checksum. */
export const DATA_VALID = 2
export const GSO_NONE = 0
export const GSO_TCPV4 = 1
const GSO_ECN = 0x80

export function vnetFlags(bytes: Uint8Array, at: number): number {
  return bytes[at]!
}

/** GSO type without the ECN bit. */
export function vnetGsoType(bytes: Uint8Array, at: number): number {
  return bytes[at + 1]! & ~GSO_ECN
}

function u16le(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8)
}

/** Payload bytes per segment of a super-packet. */
export function vnetGsoSize(bytes: Uint8Array, at: number): number {
  return u16le(bytes, at + 4)
}

export function vnetChecksumStart(bytes: Uint8Array, at: number): number {
  return u16le(bytes, at + 6)
}

export function vnetChecksumOffset(bytes: Uint8Array, at: number): number {
  return u16le(bytes, at + 8)
}

/** Shifts the offsets that count from the frame's start, after bytes were removed in front of the inner header. */
export function shiftVnetHeader(bytes: Uint8Array, at: number, removed: number): void {
  if (bytes[at + 1] !== GSO_NONE) putU16le(bytes, at + 2, Math.max(0, u16le(bytes, at + 2) - removed))
  if (bytes[at]! & NEEDS_CSUM) putU16le(bytes, at + 6, Math.max(0, u16le(bytes, at + 6) - removed))
}

function putU16le(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value
  bytes[at + 1] = value >>> 8
}
