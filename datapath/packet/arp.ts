/**
 * ARP for IPv4 over Ethernet (RFC 826), as far as announcing an address needs it.
 *
 *   0 dst MAC | 6 src MAC | 12 0x0806 | 14 htype 1 | 16 ptype 0x0800 | 18 hlen 6 | 19 plen 4 | 20 operation
 *   22 sender MAC | 28 sender IP | 32 target MAC | 38 target IP                                       (42 bytes)
 */
import { put16, put32, u16, u32 } from './bytes.ts'

export const ARP_FRAME_BYTES = 42
export const ARP_REQUEST = 1
export const ARP_REPLY = 2
const BROADCAST = Uint8Array.from([255, 255, 255, 255, 255, 255])
const ZEROS = new Uint8Array(6)

export interface ArpMessage {
  operation: number
  senderMac: Uint8Array
  sender: number
  target: number
  /** MAC to which the frame itself was sent. */
  frameDestination: Uint8Array
}

/** Reads an ARP frame, or undefined when it is none for IPv4 over Ethernet. */
export function parseArp(frame: Uint8Array): ArpMessage | undefined {
  if (frame.length < ARP_FRAME_BYTES || u16(frame, 12) !== 0x0806) return undefined
  if (u16(frame, 14) !== 1 || u16(frame, 16) !== 0x0800 || frame[18] !== 6 || frame[19] !== 4) return undefined
  return {
    operation: u16(frame, 20),
    senderMac: frame.slice(22, 28),
    sender: u32(frame, 28),
    target: u32(frame, 38),
    frameDestination: frame.slice(0, 6),
  }
}

function frame(
  operation: number,
  senderMac: Uint8Array,
  sender: number,
  targetMac: Uint8Array,
  target: number,
  to: Uint8Array,
): Uint8Array {
  const out = new Uint8Array(ARP_FRAME_BYTES)
  out.set(to, 0)
  out.set(senderMac, 6)
  put16(out, 12, 0x0806)
  put16(out, 14, 1)
  put16(out, 16, 0x0800)
  out[18] = 6
  out[19] = 4
  put16(out, 20, operation)
  out.set(senderMac, 22)
  put32(out, 28, sender)
  out.set(targetMac, 32)
  put32(out, 38, target)
  return out
}

/** "`address` is at `mac`", to whoever asked. */
export function arpAnswer(mac: Uint8Array, address: number, asker: ArpMessage): Uint8Array {
  return frame(ARP_REPLY, mac, address, asker.senderMac, asker.sender, asker.senderMac)
}

/** Gratuitous request (RFC 5227, 3, "ARP Announcement"): sender and target are the address. */
export function gratuitousRequest(mac: Uint8Array, address: number): Uint8Array {
  return frame(ARP_REQUEST, mac, address, ZEROS, address, BROADCAST)
}

/**
 * Gratuitous reply whose target MAC is the sender's: with zeros or all-ones there, Linux ignores it for a second after
 * the entry's last change.
 */
export function gratuitousReply(mac: Uint8Array, address: number): Uint8Array {
  return frame(ARP_REPLY, mac, address, mac, address, BROADCAST)
}

/** "Who has `gateway`? Tell `address`": the form that every neighbour must learn from, and creates an entry. */
export function askGateway(mac: Uint8Array, address: number, gateway: number): Uint8Array {
  return frame(ARP_REQUEST, mac, address, ZEROS, gateway, BROADCAST)
}
