/**
 * The changes that the daemon makes to its host, in their order, and their undoing. The order is what keeps clients
 * whole (design, sections 6 and 7):
 *
 *     repair ─▶ prepare ─▶ (the engine makes its device) ─▶ deviceReady ─▶ steer ─▶ settle ─▶ update …
 *               sysctls,                                    guard, then    resets
 *               then addresses                              the filters    may pass again
 *
 *     open    the steering opens, everything else stays: restart, or an engine that failed
 *     undo    the host as it was found: filters, guard, nft tables, addresses, sysctls, clsact, journal
 *
 * Every step writes to the journal what it is about to change, can be repeated, and continues what a crash cut off. The
 * steps of one object run one after another, however they are called; two daemons are kept apart by a lock.
 */
import { DatapathError } from '../errors.ts'
import { addLoopbackAddresses, readLinks, removeLoopbackAddresses } from './addresses.ts'
import type { Link } from './addresses.ts'
import { createCommands } from './command.ts'
import { createGuard, endForeignGuard } from './guard.ts'
import { openJournal } from './journal.ts'
import type { Journal } from './journal.ts'
import { takeHostLock } from './lock.ts'
import type { HostLock } from './lock.ts'
import { CLAMP_TABLE, clampTable, deleteTables, RESET_TABLE, resetTable } from './nft.ts'
import { checkPlan } from './plan.ts'
import type { HostPlan } from './plan.ts'
import { checkHost } from './preflight.ts'
import {
  interfacesWithoutQdisc,
  removeFallback,
  removeFilters,
  removeQdisc,
  runBatch,
  steeringChanges,
} from './steering.ts'
import { neededChanges, restore, writeSysctl } from './sysctl.ts'
import { PREFERENCES } from './tc.ts'

/**
 * On the engine's device, because a device without IPv4 address drops all it delivers while its rp_filter is 2. Link
 * scope and /32: nobody is reached by it, and no packet takes it as source.
 */
const DEVICE_ADDRESS = '169.254.77.77'
/** The driver's largest, 65,535 less the Ethernet header. */
const DEVICE_MTU_MAX = 65_521
/** A guard that was lost and could not be started again is tried again after this. */
const GUARD_RETRY_MS = 1_000

/** A structured logger's two levels that are used here; pino has them. */
export interface HostLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface HostSetupOptions {
  /** Where journal and lock live; it must be the same after a restart. */
  runtimeDirectory: string
  device: string
  log: HostLog
  /** Where the tools are searched, in PATH form; the process's PATH and the system directories unless given. */
  path?: string
}

export interface HostSetup {
  /** Privileges, driver, tools. Changes nothing. @throws DatapathError E_NOT_ROOT, E_NO_TUN, E_TOOL_MISSING_*. */
  preflight(): Promise<void>
  /**
   * Takes over from a daemon that died: ends its guard, removes its filters (they point to a device that is gone) and
   * holds pure RSTs back anew. Addresses and sysctls stay, with their originals in the journal. @throws E_HOST_BUSY.
   */
  repair(): Promise<void>
  /** Sysctls, then addresses on `lo`. @throws E_INTERFACE_GONE. */
  prepare(plan: HostPlan): Promise<void>
  /** Settings of the engine's device: call it when the device exists and is up, and before `steer`. */
  deviceReady(): Promise<void>
  /** Everything of `prepare`, then the guard, then the filters, then the MSS clamp. If it fails the steering is open. */
  steer(plan: HostPlan): Promise<void>
  /** Lets pure RSTs pass again: call it when the flows are imported. After 60 s the kernel does so by itself. */
  settle(): Promise<void>
  /**
   * Goes over to another plan: what is new is added, then what is no longer named is removed. It returns when new
   * addresses are accepted and (if steering) steered: announce them after that. If it fails, the old plan still holds.
   */
  update(plan: HostPlan): Promise<void>
  /**
   * Opens the steering: our filters go, everything else stays.
   * @param options.holdResets first drops pure RSTs from published addresses, for 60 s, so that flows which live
   *   elsewhere survive until the steering is back.
   */
  open(options: { holdResets: boolean }): Promise<void>
  /** Removes everything that the journal knows and somebody else has not changed since. Releases the lock. */
  undo(): Promise<void>
}

const NOTHING = { interfaces: [], publishedAddresses: [], clamps: [] } as const

export function createHostSetup({ runtimeDirectory, device, log, path }: HostSetupOptions): HostSetup {
  const commands = createCommands(path)
  const guard = createGuard(commands.path, () => void restoreGuard())
  let lock: HostLock | undefined
  let opened: Journal | undefined
  let steering = false
  /** Of the last plan; the device should carry frames as large. */
  let interfaceNames: string[] = []

  let lastStep: Promise<unknown> = Promise.resolve()
  function inTurn<T>(step: () => Promise<T>): Promise<T> {
    const result = lastStep.then(step)
    lastStep = result.catch(() => undefined)
    return result
  }

  async function theJournal(): Promise<Journal> {
    lock ??= takeHostLock(runtimeDirectory)
    try {
      opened ??= await openJournal(runtimeDirectory, device, (why) =>
        log.info({ runtimeDirectory }, `the journal of host changes is void: ${why}`),
      )
      return opened
    } catch (error) {
      lock.release()
      lock = undefined
      throw error
    }
  }

  // ---- additions: each is in the journal before it happens

  async function claim(plan: HostPlan, links: ReadonlyMap<string, Link>): Promise<void> {
    const journal = await theJournal()
    const sysctls = await neededChanges(plan.interfaces)
    const present = new Set(links.get('lo')?.addresses)
    const addresses = [...new Set(plan.publishedAddresses)].filter((address) => !present.has(address))
    if (sysctls.length > 0 || addresses.length > 0) {
      await journal.record((draft) => {
        const changed = new Set(sysctls.map(({ key }) => key))
        draft.sysctls = [...draft.sysctls.filter(({ key }) => !changed.has(key)), ...sysctls]
        draft.addresses = [...new Set([...draft.addresses, ...addresses])]
      })
    }
    for (const { key, ours } of sysctls) {
      if (!(await writeSysctl(key, ours))) throw interfaceGone(key)
    }
    await addLoopbackAddresses(commands, addresses)
  }

  /** @returns the lines that remove stale filters, to be run when everything new is in place. */
  async function addFilters(plan: HostPlan): Promise<string[]> {
    const journal = await theJournal()
    const { add, remove } = await steeringChanges(commands, plan.interfaces, plan.publishedAddresses, device)
    const withoutQdisc = await interfacesWithoutQdisc(commands, plan.interfaces)
    await journal.record((draft) => {
      for (const { name, ifindex } of plan.interfaces) {
        const identity = { interface: name, ifindex }
        draft.filters = [
          ...draft.filters.filter((entry) => entry.interface !== name),
          { ...identity, preferences: [...PREFERENCES] },
        ]
        draft.fallbacks = [...draft.fallbacks.filter((entry) => entry.interface !== name), identity]
        draft.qdiscs = draft.qdiscs.filter((entry) => entry.interface !== name || entry.ifindex === ifindex)
        if (withoutQdisc.some((own) => own.name === name)) {
          draft.qdiscs = [...draft.qdiscs.filter((entry) => entry.interface !== name), identity]
        }
      }
      draft.device = device
      draft.steered = [...new Set([...draft.steered, ...plan.publishedAddresses])]
      draft.tables = [...new Set([...draft.tables, RESET_TABLE] as const)]
    })
    await armGuard()
    await runBatch(commands, [...withoutQdisc.map(({ name }) => `qdisc add dev ${name} clsact`), ...add])
    return remove
  }

  async function armGuard(): Promise<void> {
    const journal = await theJournal()
    const { filters, steered, guard: known } = journal.entries
    const identity = await guard.arm({ interfaces: filters.map((entry) => entry.interface), addresses: steered })
    if (known?.pid === identity.pid && known.startTicks === identity.startTicks) return
    await journal.record((draft) => {
      draft.guard = identity
    })
  }

  async function setClamps({ clamps }: Pick<HostPlan, 'clamps'>): Promise<void> {
    const journal = await theJournal()
    const exists = journal.entries.tables.includes(CLAMP_TABLE)
    if (clamps.length > 0) {
      if (!exists) await journal.record((draft) => void draft.tables.push(CLAMP_TABLE))
      await commands.run('nft', ['-f', '-'], clampTable(clamps))
    } else if (exists) await removeTable(CLAMP_TABLE)
  }

  // ---- removals: each leaves the journal after it has happened

  async function removeTable(table: 'dpr' | 'dpr_guard'): Promise<void> {
    const journal = await theJournal()
    if (!journal.entries.tables.includes(table)) return
    await commands.run('nft', ['-f', '-'], deleteTables([table]))
    // The reset table may come again at any time while a guard is armed.
    if (table === RESET_TABLE && steering) return
    await journal.record((draft) => {
      draft.tables = draft.tables.filter((name) => name !== table)
    })
  }

  async function holdResets(): Promise<void> {
    const journal = await theJournal()
    const { steered } = journal.entries
    if (steered.length === 0) return
    await journal.record((draft) => {
      draft.tables = [...new Set([...draft.tables, RESET_TABLE] as const)]
    })
    await commands.run('nft', ['-f', '-'], resetTable(steered.join(', ')))
  }

  /** Removes our filters from every interface that the journal names and the plan does not. */
  async function releaseFilters({ interfaces }: Pick<HostPlan, 'interfaces'>): Promise<void> {
    const journal = await theJournal()
    const stale = journal.entries.filters.filter((entry) => !interfaces.some(isThe(entry)))
    if (stale.length === 0) return
    for (const entry of stale) {
      await removeFilters(commands, entry, entry.preferences, [device, journal.entries.device])
    }
    await journal.record((draft) => {
      draft.filters = draft.filters.filter((entry) => interfaces.some(isThe(entry)))
    })
  }

  async function releaseAddresses({ publishedAddresses }: Pick<HostPlan, 'publishedAddresses'>): Promise<void> {
    const journal = await theJournal()
    const stale = journal.entries.addresses.filter((address) => !publishedAddresses.includes(address))
    if (stale.length === 0) return
    const present = new Set((await readLinks(commands)).get('lo')?.addresses)
    await removeLoopbackAddresses(
      commands,
      stale.filter((address) => present.has(address)),
    )
    await journal.record((draft) => {
      draft.addresses = draft.addresses.filter((address) => !stale.includes(address))
    })
  }

  /** Restores interfaces that the plan does not name: sysctls, then clsact; `all` only when it names none. */
  async function releaseInterfaces({ interfaces }: Pick<HostPlan, 'interfaces'>): Promise<void> {
    const journal = await theJournal()
    const kept = (entry: { interface: string; ifindex: number }) => interfaces.some(isThe(entry))
    const keptSysctl = (owner: { name: string; ifindex: number } | undefined) =>
      owner === undefined ? interfaces.length > 0 : kept({ interface: owner.name, ifindex: owner.ifindex })
    const { sysctls, qdiscs, fallbacks } = journal.entries
    if (sysctls.every(({ owner }) => keptSysctl(owner)) && [...qdiscs, ...fallbacks].every(kept)) return

    const links = await readLinks(commands)
    for (const change of sysctls) {
      const { owner } = change
      if (keptSysctl(owner)) continue
      if (owner === undefined || links.get(owner.name)?.ifindex === owner.ifindex) await restore(change)
    }
    for (const entry of fallbacks) if (!kept(entry)) await removeFallback(commands, entry)
    for (const entry of qdiscs) if (!kept(entry)) await removeQdisc(commands, entry)
    await journal.record((draft) => {
      draft.sysctls = draft.sysctls.filter(({ owner }) => keptSysctl(owner))
      draft.qdiscs = draft.qdiscs.filter(kept)
      draft.fallbacks = draft.fallbacks.filter(kept)
    })
  }

  // ---- the steps

  async function goTo(plan: HostPlan): Promise<void> {
    checkPlan(plan, device)
    const links = await readLinks(commands)
    for (const { name, ifindex } of plan.interfaces) {
      if (links.get(name)?.ifindex !== ifindex) throw interfaceGone(`${name} (index ${ifindex})`)
    }
    interfaceNames = plan.interfaces.map(({ name }) => name)
    await claim(plan, links)
    const stale = steering ? await addFilters(plan) : []
    await setClamps(plan)

    await runBatch(commands, stale)
    await releaseFilters(plan)
    if (steering) {
      const journal = await theJournal()
      const steered = [...new Set(plan.publishedAddresses)]
      if (journal.entries.steered.length > steered.length) {
        await journal.record((draft) => {
          draft.steered = steered
        })
      }
      await armGuard()
    }
    await releaseAddresses(plan)
    await releaseInterfaces(plan)
  }

  async function openSteering(options: { holdResets: boolean }): Promise<void> {
    const journal = await theJournal()
    if (options.holdResets) await holdResets()
    await releaseFilters(NOTHING)
    steering = false
    await guard.disarm()
    if (journal.entries.guard === undefined) return
    await endForeignGuard(journal.entries.guard)
    await journal.record((draft) => {
      delete draft.guard
    })
  }

  async function restoreGuard(): Promise<void> {
    try {
      await inTurn(async () => {
        if (!steering) return
        await armGuard()
        log.warn({}, 'the guard that opens the steering had ended and was started again')
      })
    } catch (error) {
      log.warn({ error }, 'the guard that opens the steering has ended and cannot be started')
      setTimeout(() => void restoreGuard(), GUARD_RETRY_MS).unref()
    }
  }

  return {
    preflight: () => checkHost(commands),

    repair: () =>
      inTurn(async () => {
        const journal = await theJournal()
        const { guard: orphan, filters } = journal.entries
        if (orphan === undefined && filters.length === 0) return
        if (orphan !== undefined) await endForeignGuard(orphan)
        await openSteering({ holdResets: true })
        log.warn({ interfaces: filters.map((entry) => entry.interface) }, 'repaired the steering of a daemon that died')
      }),

    prepare: (plan) => inTurn(() => goTo(plan)),

    deviceReady: () =>
      inTurn(async () => {
        const links = await readLinks(commands)
        if (!links.has(device)) throw interfaceGone(device)
        await writeSysctl(`net/ipv6/conf/${device}/disable_ipv6`, 1)
        // 2, not 0: the maximum of this and `all` counts, and `all` may be 2 or 1; 1 would drop what clients send.
        if (!(await writeSysctl(`net/ipv4/conf/${device}/rp_filter`, 2))) throw interfaceGone(device)
        const mtus = [device, ...interfaceNames].map((name) => links.get(name)?.mtu ?? 0)
        const mtu = Math.min(Math.max(...mtus), DEVICE_MTU_MAX)
        const lines = [
          `address replace ${DEVICE_ADDRESS}/32 dev ${device} scope link`,
          `link set dev ${device} mtu ${mtu}`,
        ]
        await commands.run('ip', ['-batch', '-'], `${lines.join('\n')}\n`)
      }),

    steer: (plan) =>
      inTurn(async () => {
        if (steering) return goTo(plan)
        steering = true
        try {
          await goTo(plan)
          log.info({ interfaces: interfaceNames, addresses: plan.publishedAddresses.length }, 'steering is on')
        } catch (error) {
          await openSteering({ holdResets: false }).catch((failure: unknown) =>
            log.warn({ error: failure }, 'the steering could not be opened; the guard will when this process ends'),
          )
          throw error
        }
      }),

    settle: () => inTurn(() => removeTable(RESET_TABLE)),

    update: (plan) => inTurn(() => goTo(plan)),

    open: (options) =>
      inTurn(async () => {
        await openSteering(options)
        log.info(options, 'steering is open')
      }),

    undo: () =>
      inTurn(async () => {
        const journal = await theJournal()
        await openSteering({ holdResets: false })
        const failures: unknown[] = []
        for (const step of [
          () => removeTable(RESET_TABLE),
          () => removeTable(CLAMP_TABLE),
          () => releaseAddresses(NOTHING),
          () => releaseInterfaces(NOTHING),
        ]) {
          await step().catch((error: unknown) => failures.push(error))
        }
        // The journal keeps what could not be undone, for the next attempt.
        if (failures.length > 0) throw failures[0]
        await journal.discard()
        opened = undefined
        lock?.release()
        lock = undefined
      }),
  }
}

function isThe({ interface: name, ifindex }: { interface: string; ifindex: number }) {
  return (own: { name: string; ifindex: number }) => own.name === name && own.ifindex === ifindex
}

function interfaceGone(what: string): DatapathError {
  return new DatapathError(
    'E_INTERFACE_GONE',
    `${what} is not there any more`,
    'Bring the interface back, or correct its name in the configuration. An interface that was made anew has a new ' +
      'index: read it again before the next attempt.',
  )
}
