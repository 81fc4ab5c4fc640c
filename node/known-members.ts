/**
 * The members that a node knows, kept over a restart: it then finds its cluster again though every seed of its
 * configuration is gone. `members.json` in the state directory, replaced atomically, never more often than every few
 * seconds and only when something has changed.
 *
 * What is read is checked: a file that makes no sense costs a warning, not the start. An address is a hint and no more;
 * who answers there must prove that it holds the cluster's key.
 */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { Member } from '../gossip/types.ts'
import { removeHalfWritten, replaceFileAtomic } from './atomic-file.ts'
import { errnoOf } from './errors.ts'
import { isUnicast, parseAddress } from './ipv4.ts'

export interface KnownMember {
  id: string
  /** `a.b.c.d:port` of its gossip. */
  address: string
  /** When it was last seen alive, ms since 1970: the only clock that a restart survives. */
  seenMs: number
}

const FILE = 'members.json'
const FORMAT = 1
const MEMBERS_MAX = 2_048
const FILE_BYTES_MAX = 1_048_576
const ID_CHARACTERS_MAX = 128
const UNSEEN_MS_MAX = 30 * 86_400_000
/** A member that stays is written again this often, so that its time does not run out. */
const REFRESH_MS = 86_400_000

const fileSchema = z.object({
  version: z.literal(FORMAT),
  members: z.array(
    z.object({
      id: z.string().min(1).max(ID_CHARACTERS_MAX),
      address: z.string().refine(isEndpoint),
      seenMs: z.number().min(0),
    }),
  ),
})

export class KnownMembers {
  readonly #path: string
  readonly #wallMs: () => number
  readonly #byId = new Map<string, KnownMember>()
  /** What the disk holds, as text. */
  #written = ''
  #writing: Promise<void> = Promise.resolve()

  private constructor(stateDirectory: string, wallMs: () => number) {
    this.#path = join(stateDirectory, FILE)
    this.#wallMs = wallMs
  }

  /**
   * Reads the file, if there is one.
   * @param wallMs ms since 1970
   * @returns with the reason why the file was ignored, if it was
   */
  static async load(stateDirectory: string, wallMs: () => number = Date.now): Promise<[KnownMembers, string?]> {
    const known = new KnownMembers(stateDirectory, wallMs)
    await removeHalfWritten(known.#path).catch(() => undefined)
    try {
      // A pipe or device has no end.
      const stats = await stat(known.#path)
      if (!stats.isFile()) throw new Error('it is no file')
      if (stats.size > FILE_BYTES_MAX) throw new Error(`it has more than ${FILE_BYTES_MAX} bytes`)
      const members = parseFile(await readFile(known.#path, 'utf8'))
      for (const member of members) known.#byId.set(member.id, member)
      known.#forget()
      return [known]
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return [known]
      return [known, `${known.#path} is ignored: ${error instanceof Error ? error.message : String(error)}`]
    }
  }

  /** The addresses worth dialling, last seen first. */
  addresses(): string[] {
    return [...new Set([...this.#byId.values()].toSorted(latestFirst).map(({ address }) => address))]
  }

  /** Takes in a view; members that are alive or suspect count as seen. */
  note(members: readonly Member[]): void {
    const seenMs = this.#wallMs()
    for (const { facts, status, self } of members) {
      if (self || (status !== 'alive' && status !== 'suspect')) continue
      const address = `${facts.gossipAddress}:${facts.gossipPort}`
      const known = this.#byId.get(facts.id)
      if (known?.address === address && seenMs - known.seenMs < REFRESH_MS) continue
      // A host that was made anew has another identity at the same address.
      for (const [id, other] of this.#byId) if (other.address === address) this.#byId.delete(id)
      this.#byId.set(facts.id, { id: facts.id, address, seenMs })
    }
    this.#forget()
  }

  /**
   * Writes the file if it would say something new. One write at a time.
   * @throws NodeError E_FILE_UNWRITABLE
   */
  save(): Promise<void> {
    const next = this.#writing.catch(() => undefined).then(() => this.#save())
    this.#writing = next
    return next
  }

  async #save(): Promise<void> {
    const members = [...this.#byId.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1))
    const text = `${JSON.stringify({ version: FORMAT, members }, null, 1)}\n`
    if (text === this.#written) return
    await replaceFileAtomic(this.#path, text, 0o600)
    this.#written = text
  }

  /** The longest unseen go first; a clock that was set back makes nobody younger than now. */
  #forget(): void {
    const nowMs = this.#wallMs()
    for (const member of this.#byId.values()) member.seenMs = Math.min(member.seenMs, nowMs)
    for (const { id, seenMs } of this.#byId.values()) if (nowMs - seenMs > UNSEEN_MS_MAX) this.#byId.delete(id)
    if (this.#byId.size <= MEMBERS_MAX) return
    for (const { id } of [...this.#byId.values()].toSorted(latestFirst).slice(MEMBERS_MAX)) this.#byId.delete(id)
  }
}

function latestFirst(a: KnownMember, b: KnownMember): number {
  return b.seenMs - a.seenMs || (a.id < b.id ? -1 : 1)
}

function parseFile(text: string): KnownMember[] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Error('it is no JSON')
  }
  const parsed = fileSchema.safeParse(value)
  if (!parsed.success) throw new Error(`it is no list of members of format ${FORMAT}`)
  return parsed.data.members
}

function isEndpoint(text: string): boolean {
  const [host = '', port = '', ...rest] = text.split(':')
  const address = parseAddress(host)
  return (
    address !== undefined && isUnicast(address) && rest.length === 0 && /^[1-9]\d{0,4}$/u.test(port) && +port < 65_536
  )
}
