/**
 * Puts the steering filters on interfaces and takes them off, by difference: what the kernel lists is the truth, so a
 * step that is repeated, or that continues what a crash cut off, changes only what is missing.
 */
import { DatapathError } from '../errors.ts'
import { readLinks } from './addresses.ts'
import type { Commands } from './command.ts'
import type { HostInterface } from './plan.ts'
import {
  addLine,
  deleteFallbackLine,
  deleteLine,
  deletePreferenceLine,
  isOurs,
  mentionsFallback,
  mentionsPreference,
  parseFilters,
  PREFERENCES,
  sameSteered,
  wantedFilters,
} from './tc.ts'
import type { ListedFilter } from './tc.ts'

/** An interface by name, and by the index that tells it from a later one of the same name. */
export interface InterfaceIdentity {
  interface: string
  ifindex: number
}

/** Of the interfaces given, those that have neither clsact nor the older ingress, which serves as well. */
export async function interfacesWithoutQdisc<T extends { name: string }>(
  commands: Commands,
  interfaces: readonly T[],
): Promise<T[]> {
  const listed = JSON.parse(await commands.run('tc', ['-j', 'qdisc', 'show'])) as { kind?: string; dev?: string }[]
  const have = new Set(listed.filter(({ kind }) => kind === 'clsact' || kind === 'ingress').map(({ dev }) => dev))
  return interfaces.filter(({ name }) => !have.has(name))
}

/** Lines that bring the filters of all interfaces to what is wanted: first `add`, later `remove`. */
export interface SteeringChanges {
  add: string[]
  remove: string[]
}

/**
 * What separates the filters in place from the wanted ones.
 * @throws DatapathError E_FILTER_TAKEN if one of our preferences holds somebody else's filter.
 */
export async function steeringChanges(
  commands: Commands,
  interfaces: readonly HostInterface[],
  publishedAddresses: readonly string[],
  device: string,
): Promise<SteeringChanges> {
  const changes: SteeringChanges = { add: [], remove: [] }
  const tunnelAddresses = interfaces.map(({ address }) => address)
  for (const own of interfaces) {
    const wanted = wantedFilters(own, tunnelAddresses, publishedAddresses)
    const listed = (await listFilters(commands, own.name)).filter(({ preference }) => PREFERENCES.includes(preference))
    const foreign = listed.find((filter) => !isOurs(filter, [device]))
    if (foreign !== undefined) throw filterTaken(own.name, foreign)

    const live = listed.filter((filter) => filter.device === device)
    const kept = new Set<ListedFilter>()
    for (const steered of wanted) {
      const present = live.find((filter) => filter.steered !== undefined && sameSteered(filter.steered, steered))
      if (present === undefined) changes.add.push(addLine(own.name, steered, device))
      else kept.add(present)
    }
    for (const filter of listed) if (!kept.has(filter)) changes.remove.push(deleteLine(own.name, filter))
  }
  return changes
}

/** Runs tc lines in one process. */
export async function runBatch(commands: Commands, lines: readonly string[]): Promise<void> {
  if (lines.length > 0) await commands.run('tc', ['-batch', '-'], `${lines.join('\n')}\n`)
}

/**
 * Removes our filters from an interface, whole preferences at a time; where somebody else's filter sits at one of them,
 * one by one. An interface that is gone, or another one under its name, has none.
 */
export async function removeFilters(
  commands: Commands,
  { interface: name, ifindex }: InterfaceIdentity,
  preferences: readonly number[],
  devices: readonly string[],
): Promise<void> {
  await unlessGone(commands, { interface: name, ifindex }, async () => {
    const listing = await commands.run('tc', ['filter', 'show', 'dev', name, 'ingress'])
    const listed = parseFilters(listing)
    const lines = preferences.flatMap((preference) => {
      if (!mentionsPreference(listing, preference)) return []
      const here = listed.filter((filter) => filter.preference === preference)
      const ours = here.filter((filter) => isOurs(filter, devices))
      if (ours.length === here.length) return [deletePreferenceLine(name, preference)]
      return ours.map((filter) => deleteLine(name, filter))
    })
    await runBatch(commands, lines)
  })
}

/** Removes the fallback decapsulator that an earlier daemon, or this one, left on an interface. */
export async function removeFallback(commands: Commands, identity: InterfaceIdentity): Promise<void> {
  const { interface: name } = identity
  await unlessGone(commands, identity, async () => {
    const listing = await commands.run('tc', ['filter', 'show', 'dev', name, 'ingress'])
    if (mentionsFallback(listing)) await runBatch(commands, [deleteFallbackLine(name)])
  })
}

/** Removes a clsact that we made, unless somebody keeps filters in it by now. */
export async function removeQdisc(commands: Commands, identity: InterfaceIdentity): Promise<void> {
  const { interface: name } = identity
  await unlessGone(commands, identity, async () => {
    if ((await interfacesWithoutQdisc(commands, [{ name }])).length > 0) return
    for (const direction of ['ingress', 'egress']) {
      if ((await commands.run('tc', ['filter', 'show', 'dev', name, direction])).trim() !== '') return
    }
    await commands.run('tc', ['qdisc', 'del', 'dev', name, 'clsact'])
  })
}

async function listFilters(commands: Commands, name: string): Promise<ListedFilter[]> {
  return parseFilters(await commands.run('tc', ['filter', 'show', 'dev', name, 'ingress']))
}

/** Runs an act on an interface; that the interface is gone, before or by the time it fails, makes it needless. */
async function unlessGone(
  commands: Commands,
  { interface: name, ifindex }: InterfaceIdentity,
  act: () => Promise<void>,
): Promise<void> {
  const isThere = async () => (await readLinks(commands)).get(name)?.ifindex === ifindex
  if (!(await isThere())) return
  try {
    await act()
  } catch (error) {
    if (await isThere()) throw error
  }
}

function filterTaken(name: string, { preference, kind, device }: ListedFilter): DatapathError {
  const target = device === undefined ? '' : ` that redirects to ${device}`
  return new DatapathError(
    'E_FILTER_TAKEN',
    `${name} has a ${kind} filter at preference ${preference}${target}, which is not ours`,
    `Preferences ${PREFERENCES.join(' and ')} at ingress belong to this daemon. Move the other filter, or stop the ` +
      `other daemon: tc filter show dev ${name} ingress`,
  )
}
