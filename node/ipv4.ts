/**
 * IPv4 addresses and blocks as an operator writes them: dotted quads and CIDR (RFC 4632). Strict: no leading zeros (some
 * tools read 010 as octal 8), no shorthand, no host bits in a block.
 */

export interface Block {
  /** First address, unsigned 32-bit. */
  base: number
  /** 0 to 32. */
  prefixLength: number
}

const DECIMAL = /^(?:0|[1-9]\d{0,2})$/u

/** Unsigned 32-bit, or undefined if the text is no dotted quad. */
export function parseAddress(text: string): number | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  let address = 0
  for (const part of parts) {
    if (!DECIMAL.test(part) || Number(part) > 255) return undefined
    address = address * 256 + Number(part)
  }
  return address
}

export function formatAddress(address: number): string {
  return [address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255].join('.')
}

/** ADDRESS/LENGTH of an interface: the address may have host bits. */
export function parsePrefix(text: string): { address: number; prefixLength: number } | undefined {
  const [addressText, prefixText, ...rest] = text.split('/')
  if (addressText === undefined || prefixText === undefined || rest.length > 0) return undefined
  const address = parseAddress(addressText)
  if (address === undefined || !DECIMAL.test(prefixText) || Number(prefixText) > 32) return undefined
  return { address, prefixLength: Number(prefixText) }
}

/** ADDRESS/LENGTH of a block; undefined if the address has host bits. */
export function parseBlock(text: string): Block | undefined {
  const prefix = parsePrefix(text)
  if (prefix === undefined) return undefined
  const block = blockOf(prefix.address, prefix.prefixLength)
  return block.base === prefix.address ? block : undefined
}

export function blockOf(address: number, prefixLength: number): Block {
  const size = 2 ** (32 - prefixLength)
  return { base: address - (address % size), prefixLength }
}

export function formatBlock(block: Block): string {
  return `${formatAddress(block.base)}/${block.prefixLength}`
}

export function contains(block: Block, address: number): boolean {
  return blockOf(address, block.prefixLength).base === block.base
}

/** The smallest block that holds all of the addresses; there must be at least one. */
export function coveringBlock(addresses: readonly number[]): Block {
  let prefixLength = 32
  while (!addresses.every((address) => contains(blockOf(addresses[0]!, prefixLength), address))) prefixLength--
  return blockOf(addresses[0]!, prefixLength)
}

/** An address that one host can have and others can send to: not 0/8, loopback, multicast, reserved or broadcast. */
export function isUnicast(address: number): boolean {
  const first = address >>> 24
  return first !== 0 && first !== 127 && first < 224
}
