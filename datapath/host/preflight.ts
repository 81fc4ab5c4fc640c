/**
 * What the host must offer before anything is changed: the capabilities, the TUN/TAP driver, the tools. Each lack has a
 * code of its own and says how to mend it.
 */
import { open, readFile } from 'node:fs/promises'
import { DatapathError } from '../errors.ts'
import type { Commands } from './command.ts'

/** Bit numbers from <linux/capability.h>. NET_ADMIN for everything here, NET_RAW for the engines' packet sockets. */
const CAPABILITIES = { CAP_NET_ADMIN: 12n, CAP_NET_RAW: 13n } as const

/** @throws DatapathError E_NOT_ROOT, E_TOOL_MISSING_* or E_NO_TUN. Changes nothing. */
export async function checkHost(commands: Commands): Promise<void> {
  const missing = missingCapabilities(await readFile('/proc/self/status', 'utf8'), process.geteuid?.() === 0)
  if (missing.length > 0) {
    throw new DatapathError(
      'E_NOT_ROOT',
      `this process lacks ${missing.join(' and ')}`,
      'Run it as root, or give its systemd unit AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW; a container needs ' +
        'both with --cap-add.',
    )
  }
  await commands.requireAll()
  try {
    await (await open('/dev/net/tun', 'r+')).close()
  } catch (error) {
    throw new DatapathError(
      'E_NO_TUN',
      `cannot open /dev/net/tun: ${String(error)}`,
      'Load the driver (modprobe tun); a container needs --device /dev/net/tun.',
      error,
    )
  }
}

/**
 * Names what a process lacks, from its /proc/PID/status. The tools run as children: those of a process that is not
 * root inherit only the ambient set.
 */
export function missingCapabilities(status: string, isRoot: boolean): string[] {
  const set = (field: string) => BigInt(`0x${new RegExp(`^${field}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1] ?? '0'}`)
  const held = isRoot ? set('CapEff') : set('CapEff') & set('CapAmb')
  return Object.entries(CAPABILITIES)
    .filter(([, bit]) => ((held >> bit) & 1n) === 0n)
    .map(([name]) => name)
}
