/**
 * The kernel's own list of TCP sockets, /proc/net/tcp and tcp6: the truth about flows that end here. Dual-stack
 * listeners (Node's default) appear only in tcp6, as IPv4-mapped addresses.
 *
 *   sl  local_address rem_address   st …       addresses are little-endian words in hex, ports big-endian hex
 *    0: 6500010A:0050 0900090A:C3A2 01 …
 */
import { open } from 'node:fs/promises'

const ESTABLISHED = '01'
const CHUNK_BYTES = 65_536
const MAPPED_PREFIX = '0000000000000000FFFF0000'

/**
 * Counts established sockets in a table's text, given line by line.
 * @param wanted "ADDRESS:PORT" as the kernel writes it, IPv4
 */
export function isEstablishedOn(line: string, wanted: ReadonlySet<string>): boolean {
  const fields = line.trimStart().split(/\s+/, 4)
  const local = fields[1]
  if (local === undefined || fields[3] !== ESTABLISHED) return false
  return wanted.has(local.startsWith(MAPPED_PREFIX) ? local.slice(MAPPED_PREFIX.length) : local)
}

/** "ADDRESS:PORT" in the kernel's form; the address as an unsigned number. */
export function kernelEndpoint(address: number, port: number): string {
  const little = [address & 255, (address >>> 8) & 255, (address >>> 16) & 255, address >>> 24]
  const hex = (value: number, digits: number): string => value.toString(16).toUpperCase().padStart(digits, '0')
  return `${little.map((byte) => hex(byte, 2)).join('')}:${hex(port, 4)}`
}

/**
 * Established sockets on any of the endpoints. Read in chunks, so that a long table does not stall the caller's thread.
 * @throws the file system's error when /proc is not there
 */
export async function countEstablished(endpoints: ReadonlySet<string>): Promise<number> {
  let count = 0
  for (const path of ['/proc/net/tcp', '/proc/net/tcp6']) count += await countIn(path, endpoints)
  return count
}

async function countIn(path: string, endpoints: ReadonlySet<string>): Promise<number> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined // a kernel without IPv6 has no tcp6
    throw error
  })
  if (file === undefined) return 0
  let count = 0
  try {
    const buffer = Buffer.alloc(CHUNK_BYTES)
    let rest = ''
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, null)
      if (bytesRead === 0) return count
      const lines = (rest + buffer.toString('latin1', 0, bytesRead)).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) if (isEstablishedOn(line, endpoints)) count++
    }
  } finally {
    await file.close()
  }
}
