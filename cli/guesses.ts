/**
 * What `dpr init` can find out by itself: a name and the address by which other hosts most likely reach this one.
 */
import { readFileSync } from 'node:fs'
import { hostname, networkInterfaces } from 'node:os'

/** The host's name without its domain, with whatever a node name may not hold left out. */
export function guessName(host: string = hostname()): string {
  const label = host.split('.', 1)[0]!.replaceAll(/[^A-Za-z0-9_-]/gu, '')
  return label.slice(0, 63).replaceAll(/^[-_]+|[-_]+$/gu, '') || 'node'
}

/** The first IPv4 address of the default route's interface, else of any but loopback; undefined if there is none. */
export function guessNodeAddress(): string | undefined {
  const interfaces = Object.entries(networkInterfaces())
  const preferred = defaultRouteInterface(routeTable())
  const ordered = [...interfaces.filter(([name]) => name === preferred), ...interfaces]
  return ordered.flatMap(([, entries = []]) => entries).find(({ family, internal }) => family === 'IPv4' && !internal)
    ?.address
}

/**
 * @param routes the text of /proc/net/route: a head, then `Iface Destination Gateway Flags … Mask`, in little-endian hex
 */
export function defaultRouteInterface(routes: string): string | undefined {
  const fields = routes.split('\n').map((line) => line.trim().split(/\s+/u))
  return fields.find(([, destination, , , , , , mask]) => destination === '00000000' && mask === '00000000')?.[0]
}

function routeTable(): string {
  try {
    return readFileSync('/proc/net/route', 'utf8')
  } catch {
    return ''
  }
}
