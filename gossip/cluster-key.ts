/**
 * The cluster key: who has it may talk to the cluster at all. It is the text of a libp2p private-network key
 * (libp2p specification "Private Networks", version 1), three lines:
 *
 *     /key/swarm/psk/1.0.0/
 *     /base16/
 *     64 hexadecimal digits
 */
import { GossipError } from './errors.ts'

const HEADER = '/key/swarm/psk/1.0.0/'
const ENCODING = '/base16/'
const KEY_BYTES = 32

/** A new key as the text of a key file, ending in a newline. */
export function generateClusterKey(): string {
  const secret = Buffer.from(crypto.getRandomValues(new Uint8Array(KEY_BYTES)))
  return `${HEADER}\n${ENCODING}\n${secret.toString('hex')}\n`
}

/**
 * Checks the content of a key file and returns its canonical bytes, as the transport wants them. Throws GossipError
 * E_GOSSIP_CLUSTER_KEY that says what is wrong; the message never repeats the secret.
 */
export function parseClusterKey(content: Uint8Array | string): Uint8Array {
  const text = typeof content === 'string' ? content : Buffer.from(content).toString('utf8')
  if (text.trim() === '') throw malformed('is empty')
  const [header = '', encoding = '', secret = '', ...rest] = text.trim().split(/\r?\n/)
  if (header.trim() !== HEADER) throw malformed(`does not begin with the line ${HEADER}`)
  if (encoding.trim() !== ENCODING) throw malformed(`has no second line ${ENCODING}`)
  const digits = secret.trim()
  if (digits.length !== 2 * KEY_BYTES) {
    throw malformed(`has ${digits.length} digits on its third line instead of ${2 * KEY_BYTES}`)
  }
  if (!/^[0-9a-f]+$/i.test(digits)) throw malformed('has something else than hexadecimal digits on its third line')
  if (rest.some((line) => line.trim() !== '')) throw malformed('has more than three lines')
  return Buffer.from(`${HEADER}\n${ENCODING}\n${digits.toLowerCase()}`)
}

function malformed(what: string): GossipError {
  return new GossipError(
    'E_GOSSIP_CLUSTER_KEY',
    `the cluster key ${what}`,
    'Copy the key file from another member of the cluster, byte for byte, or make a new one with `dpr init`.',
  )
}
