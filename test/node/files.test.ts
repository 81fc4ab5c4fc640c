import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { generateClusterKey, readClusterKeyFile } from '../../node/cluster-key-file.ts'
import { makeDirectory } from '../../node/directory.ts'
import { loadOrCreateIdentity } from '../../node/identity-file.ts'
import { writeFileAtomic } from '../../node/atomic-file.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'dpr-files-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

function modeOf(path: string): string {
  return (statSync(path).mode & 0o777).toString(8)
}

describe('an atomic write', () => {
  test('replaces the file, sets its mode whatever the umask, and leaves nothing beside it', () => {
    const path = join(dir, 'f')
    writeFileSync(path, 'old')
    const umask = process.umask(0o077)
    try {
      writeFileAtomic(path, 'new', { mode: 0o644 })
    } finally {
      process.umask(umask)
    }
    expect(readFileSync(path, 'utf8')).toBe('new')
    expect(modeOf(path)).toBe('644')
    expect(readdirSync(dir)).toEqual(['f'])
  })

  test('replaces a symbolic link instead of following it', () => {
    const elsewhere = join(dir, 'elsewhere')
    writeFileSync(elsewhere, 'theirs')
    symlinkSync(elsewhere, join(dir, 'f'))
    writeFileAtomic(join(dir, 'f'), 'ours', { mode: 0o600 })
    expect(readFileSync(elsewhere, 'utf8')).toBe('theirs')
  })

  test('exclusive: a file that is there stays, E_FILE_EXISTS', () => {
    const path = join(dir, 'f')
    writeFileSync(path, 'old')
    expect(() => writeFileAtomic(path, 'new', { mode: 0o600, exclusive: true })).toThrow(
      expect.objectContaining({ code: 'E_FILE_EXISTS', message: `${path} is there already` }),
    )
    expect(readFileSync(path, 'utf8')).toBe('old')
    expect(readdirSync(dir)).toEqual(['f'])
  })

  test('into a directory that is not there: E_FILE_UNWRITABLE with the reason', () => {
    const path = join(dir, 'no', 'f')
    expect(() => writeFileAtomic(path, '', { mode: 0o600 })).toThrow(
      expect.objectContaining({ code: 'E_FILE_UNWRITABLE', message: `cannot write ${path} (ENOENT)` }),
    )
  })

  test('onto a directory: E_FILE_UNWRITABLE, and nothing is left beside it', () => {
    mkdirSync(join(dir, 'd'))
    expect(() => writeFileAtomic(join(dir, 'd'), '', { mode: 0o600 })).toThrow('(EISDIR)')
    expect(readdirSync(dir)).toEqual(['d'])
  })
})

describe('a directory', () => {
  test('is made with those above it', () => {
    makeDirectory(join(dir, 'a', 'b', 'c'), 0o700)
    makeDirectory(join(dir, 'a', 'b', 'c'), 0o700)
    expect(modeOf(join(dir, 'a', 'b'))).toBe('700')
    expect(modeOf(join(dir, 'a', 'b', 'c'))).toBe('700')
  })

  test.each(['/proc/nowhere', '/proc/nowhere/deeper'])('%s: what cannot be made is named, at once', (path) => {
    expect(() => makeDirectory(path, 0o755)).toThrow('cannot create /proc/nowhere (ENOENT)')
  })

  test('a file in the way is named', () => {
    writeFileSync(join(dir, 'f'), '')
    expect(() => makeDirectory(join(dir, 'f'), 0o755)).toThrow(`cannot create ${join(dir, 'f')} (EEXIST)`)
  })
})

describe('the cluster key file', () => {
  const DIGITS = '0123456789abcdef'.repeat(4)
  const TEXT = `/key/swarm/psk/1.0.0/\n/base16/\n${DIGITS}\n`

  function keyFile(text: string, mode = 0o600): string {
    const path = join(dir, 'cluster.key')
    writeFileSync(path, text)
    chmodSync(path, mode)
    return path
  }

  test('yields the 32 bytes and the text for the transport', () => {
    const { secret, swarmKey } = readClusterKeyFile(keyFile(TEXT))
    expect(Buffer.from(secret).toString('hex')).toBe(DIGITS)
    expect(Buffer.from(swarmKey).toString()).toBe(TEXT.trimEnd())
  })

  test('a key that was just made is one, and no two are the same', () => {
    const first = readClusterKeyFile(keyFile(generateClusterKey()))
    const second = readClusterKeyFile(keyFile(generateClusterKey()))
    expect(first.secret).toHaveLength(32)
    expect(first.secret).not.toEqual(second.secret)
  })

  test('missing: says where it was looked for and how to get one', () => {
    expect(() => readClusterKeyFile(join(dir, 'none'))).toThrow(
      expect.objectContaining({
        code: 'E_CLUSTER_KEY_MISSING',
        message: `no cluster key at ${join(dir, 'none')}`,
        remedy: expect.stringContaining('dpr init'),
      }),
    )
  })

  test.each([0o640, 0o604, 0o660, 0o620, 0o666])('mode %i is refused, naming the command that mends it', (mode) => {
    const path = keyFile(TEXT, mode)
    expect(() => readClusterKeyFile(path)).toThrow(
      expect.objectContaining({
        code: 'E_CLUSTER_KEY_EXPOSED',
        message: expect.stringContaining(`mode 0${mode.toString(8)}`),
        remedy: expect.stringContaining(`chmod 600 ${path}`),
      }),
    )
  })

  test.each<[name: string, text: string]>([
    ['empty', ''],
    ['of another kind', 'ssh-ed25519 AAAA'],
    ['without its second line', `/key/swarm/psk/1.0.0/\n${DIGITS}\n`],
    ['too short', TEXT.replace('0123', '')],
    ['with a letter that is no digit', TEXT.replace('abcdef', 'abcdeg')],
    ['with a line too many', `${TEXT}${DIGITS}\n`],
    ['far too long', 'x'.repeat(2_000)],
  ])('a file %s is refused by name, without showing the secret', (_name, text) => {
    const path = keyFile(text)
    let error: unknown
    try {
      readClusterKeyFile(path)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toMatchObject({ code: 'E_CLUSTER_KEY_INVALID', message: expect.stringContaining(path) })
    expect(String(error)).not.toContain(DIGITS.slice(8, 24))
  })
})

test('a cluster key file that is a named pipe is refused instead of waited for', () => {
  const path = join(dir, 'cluster.key')
  execFileSync('mkfifo', ['-m', '600', path])
  expect(() => readClusterKeyFile(path)).toThrow(expect.objectContaining({ message: `${path} is no file` }))
})

describe('the identity file', () => {
  const KEY = new Uint8Array([1, 2, 3, 250])
  const generate = async (): Promise<Uint8Array> => KEY
  const never = async (): Promise<Uint8Array> => {
    throw new Error('a key was generated')
  }

  test('is made once, readable by its owner only, and loaded ever after', async () => {
    const state = join(dir, 'state')
    const made = await loadOrCreateIdentity(state, generate)
    expect(made).toEqual({ key: KEY, path: join(state, 'identity.key'), created: true })
    expect(modeOf(made.path)).toBe('600')
    expect(modeOf(state)).toBe('700')
    expect(await loadOrCreateIdentity(state, never)).toEqual({ ...made, created: false })
  })

  test.each<[name: string, content: Uint8Array, mode: number, message: string]>([
    ['readable by others', KEY, 0o644, 'has mode 0644'],
    ['empty', new Uint8Array(0), 0o600, 'has 0 bytes'],
    ['too large', new Uint8Array(5_000), 0o600, 'has 5000 bytes'],
  ])('%s: refused and left as it is, never replaced', async (_name, content, mode, message) => {
    const path = join(dir, 'identity.key')
    writeFileSync(path, content)
    chmodSync(path, mode)
    await expect(loadOrCreateIdentity(dir, never)).rejects.toMatchObject({
      code: 'E_IDENTITY_INVALID',
      message: expect.stringContaining(message),
    })
    expect(new Uint8Array(readFileSync(path))).toEqual(content)
  })

  test('a named pipe is refused instead of waited for', async () => {
    execFileSync('mkfifo', ['-m', '600', join(dir, 'identity.key')])
    await expect(loadOrCreateIdentity(dir, never)).rejects.toMatchObject({ code: 'E_IDENTITY_INVALID' })
  })

  test('a key that cannot be made leaves no file', async () => {
    await expect(loadOrCreateIdentity(dir, never)).rejects.toThrow('a key was generated')
    expect(existsSync(join(dir, 'identity.key'))).toBe(false)
  })

  test('a state directory that cannot be made is E_FILE_UNWRITABLE', async () => {
    writeFileSync(join(dir, 'file'), '')
    await expect(loadOrCreateIdentity(join(dir, 'file', 'state'), generate)).rejects.toMatchObject({
      code: 'E_FILE_UNWRITABLE',
      message: `cannot create ${join(dir, 'file')} (EEXIST)`,
    })
  })
})
