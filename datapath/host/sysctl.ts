/**
 * The sysctls that keep published addresses quiet, read and written under /proc/sys/net, which shows the network
 * namespace of the reader.
 *
 * arp_ignore=1: the kernel answers ARP only for addresses of the interface that was asked, hence never for those on
 * `lo`; answering is the announcer's business. arp_announce=2: an ARP request carries an address of the interface it
 * leaves by; with 0, a reply from a published address makes this host ask "tell P", and the router moves P here, so
 * every redirected reply would steal the address. For both the kernel takes the maximum of `all` and the interface's
 * own value, so both are raised, and none is ever lowered. (Documentation/networking/ip-sysctl in the kernel's tree.)
 */
import { readFile, writeFile } from 'node:fs/promises'
import { DatapathError } from '../errors.ts'

/** What must hold at least, per interface and for `all`. */
const MINIMA = [
  { name: 'arp_ignore', minimum: 1 },
  { name: 'arp_announce', minimum: 2 },
] as const

/** A change to one sysctl: enough to take it back, and to see whether somebody else has changed it since. */
export interface SysctlChange {
  /** Path below /proc/sys. */
  key: string
  /** The interface the key belongs to, with the index it had; undefined for `all`. */
  owner?: { name: string; ifindex: number } | undefined
  before: number
  ours: number
}

/** Keys that may stand in a journal: a damaged one must not make us write anything else. */
export function isSysctlKey(key: string): boolean {
  return /^net\/ipv4\/conf\/[A-Za-z0-9_][A-Za-z0-9_.+-]{0,14}\/(?:arp_ignore|arp_announce)$/.test(key)
}

/** What has to be raised for these interfaces, now. */
export async function neededChanges(interfaces: readonly { name: string; ifindex: number }[]): Promise<SysctlChange[]> {
  const changes: SysctlChange[] = []
  for (const owner of [undefined, ...interfaces]) {
    for (const { name, minimum } of MINIMA) {
      const key = `net/ipv4/conf/${owner?.name ?? 'all'}/${name}`
      const before = await readSysctl(key)
      if (before === undefined) throw unreadable(key)
      if (before < minimum) {
        changes.push({ key, owner: owner && { name: owner.name, ifindex: owner.ifindex }, before, ours: minimum })
      }
    }
  }
  return changes
}

/** @returns undefined if there is no such key, for instance because its interface is gone. */
export async function readSysctl(key: string): Promise<number | undefined> {
  try {
    return Number((await readFile(`/proc/sys/${key}`, 'utf8')).trim())
  } catch (error) {
    if (isMissing(error)) return undefined
    throw unreadable(key, error)
  }
}

/** @returns false if there is no such key. */
export async function writeSysctl(key: string, value: number): Promise<boolean> {
  try {
    // Without O_CREAT: a key that is gone must not become an attempt to make a file.
    await writeFile(`/proc/sys/${key}`, `${value}\n`, { flag: 'r+' })
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw new DatapathError(
      'E_SYSCTL',
      `cannot set ${key} to ${value}: ${String(error)}`,
      'In a container, /proc/sys must be writable (it often is mounted read-only).',
      error,
    )
  }
}

/** Takes one change back, unless somebody has changed the value since: then it is theirs. */
export async function restore({ key, before, ours }: SysctlChange): Promise<void> {
  if ((await readSysctl(key)) === ours) await writeSysctl(key, before)
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

function unreadable(key: string, cause?: unknown): DatapathError {
  return new DatapathError('E_SYSCTL', `cannot read ${key}`, 'IPv4 and /proc/sys must be available.', cause)
}
