/**
 * What the daemon has changed on its host and how it was before, in a file that outlives it. Every entry is written and
 * synced *before* the change it speaks of, so after a crash at any instant the file names at least everything that was
 * done; undoing what was only announced is harmless, because every undo looks first.
 *
 * A journal of another boot or another network namespace speaks of changes that are gone with it, and is void.
 */
import { mkdir, open, readFile, readlink, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { DatapathError } from '../errors.ts'
import { isAddress, isInterfaceName } from './addresses.ts'
import { isSysctlKey } from './sysctl.ts'

const interfaceName = z.string().refine(isInterfaceName)
const address = z.string().refine(isAddress)
const ifindex = z.int().positive()

const entriesSchema = z.object({
  version: z.literal(1),
  bootId: z.string(),
  /** Of the network namespace, as in `net:[4026531840]`. */
  namespace: z.string(),
  /** Where our filters redirect to. */
  device: interfaceName,
  sysctls: z.array(
    z.object({
      key: z.string().refine(isSysctlKey),
      owner: z.object({ name: interfaceName, ifindex }).optional(),
      before: z.int(),
      ours: z.int(),
    }),
  ),
  /** On `lo`, put there by us. */
  addresses: z.array(address),
  /** Interfaces whose clsact we made. */
  qdiscs: z.array(z.object({ interface: interfaceName, ifindex })),
  /** Interfaces with filters of ours, and the preferences these are at. */
  filters: z.array(
    z.object({ interface: interfaceName, ifindex, preferences: z.array(z.int().positive().max(65_535)) }),
  ),
  /** Interfaces that were ever steered, and may carry the fallback decapsulator (fallback-decap.ts). */
  fallbacks: z.array(z.object({ interface: interfaceName, ifindex })),
  /** Published addresses that are, or were last, steered: whose resets are held back when the steering opens. */
  steered: z.array(address),
  /** nft tables of ours that may exist. */
  tables: z.array(z.enum(['dpr', 'dpr_guard'])),
  /** The guard child; its start time tells it from a later process with its pid. */
  guard: z.object({ pid: z.int().min(2), startTicks: z.int().nonnegative() }).optional(),
})

export type JournalEntries = z.infer<typeof entriesSchema>

export interface Journal {
  readonly entries: Readonly<JournalEntries>
  /** Writes the changed entries and returns once they are on disk. Calls must not overlap. */
  record(change: (draft: JournalEntries) => void): Promise<void>
  /** Removes the file: nothing of ours is left on the host. */
  discard(): Promise<void>
}

/**
 * Opens the journal in a runtime directory. No file is made before the first `record`.
 * @param onVoid hears of a journal that was void.
 * @throws DatapathError E_JOURNAL if there is a file that is no journal.
 */
export async function openJournal(
  runtimeDirectory: string,
  device: string,
  onVoid: (why: string) => void,
): Promise<Journal> {
  const file = join(runtimeDirectory, 'host.json')
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
  const namespace = await readlink('/proc/self/ns/net')
  const empty: JournalEntries = {
    version: 1,
    bootId,
    namespace,
    device,
    sysctls: [],
    addresses: [],
    qdiscs: [],
    filters: [],
    fallbacks: [],
    steered: [],
    tables: [],
  }

  const found = await readEntries(file)
  const isVoid = found !== undefined && (found.bootId !== bootId || found.namespace !== namespace)
  if (isVoid) onVoid(found.bootId === bootId ? 'it is from another network namespace' : 'it is from an earlier boot')
  let entries = found === undefined || isVoid ? empty : found

  return {
    get entries() {
      return entries
    },
    async record(change) {
      const draft = structuredClone(entries)
      change(draft)
      await writeDurably(runtimeDirectory, file, `${JSON.stringify(draft, undefined, 2)}\n`)
      entries = draft
    },
    async discard() {
      await rm(file, { force: true })
      entries = empty
    },
  }
}

async function readEntries(file: string): Promise<JournalEntries | undefined> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw journalError(`cannot read ${file}`, error)
  }
  try {
    return entriesSchema.parse(JSON.parse(text))
  } catch (error) {
    throw journalError(`${file} is no journal of host changes`, error)
  }
}

/** Old content or new content, never half of it: a temporary file, synced, renamed over the old one, directory synced. */
async function writeDurably(directory: string, file: string, text: string): Promise<void> {
  const temporary = `${file}.new`
  try {
    await mkdir(directory, { recursive: true, mode: 0o755 })
    const handle = await open(temporary, 'w', 0o600)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, file)
    const parent = await open(directory, 'r')
    try {
      await parent.sync()
    } finally {
      await parent.close()
    }
  } catch (error) {
    throw journalError(`cannot write ${file}`, error)
  }
}

function journalError(message: string, cause: unknown): DatapathError {
  return new DatapathError(
    'E_JOURNAL',
    `${message}: ${String(cause)}`,
    'The runtimeDirectory must be writable by the daemon alone. A damaged journal can be removed; then check by hand ' +
      'the addresses on lo, arp_ignore and arp_announce, and tc filters at preferences 48101 and 48102.',
    cause,
  )
}
