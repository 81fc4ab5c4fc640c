/**
 * The cluster key is changed while the cluster runs, in the three rounds of docs/operating.md, and nobody is lost on the
 * way; the list of allowed nodes likewise. Three daemons, each with key files of its own.
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newClusterKey } from '../../lab/host-config.ts'
import type { Lab } from '../../lab/lab.ts'
import { labDown, labUp } from '../../lab/up.ts'
import { agreed, eventually, logLines, seen, startedNode, startNode, stopNode, writeConfig } from './hosts.ts'
import type { TestDaemon } from './hosts.ts'

const NAME = `keys${process.pid}`
const HOSTS = ['h1', 'h2', 'h3'] as const
const directory = mkdtempSync(join(tmpdir(), 'dpr-keys-'))
const daemons = new Map<string, TestDaemon>()
let lab: Lab
let old: string
let next: string

beforeAll(async () => {
  lab = await labUp({ name: NAME, segments: 1, hostsPerSegment: 3, daemons: false, servers: false })
  for (const key of ['old', 'next']) writeFileSync(join(directory, key), newClusterKey(), { mode: 0o600 })
  for (const host of HOSTS) {
    mkdirSync(join(directory, host))
    copyFileSync(join(directory, 'old'), keyFile(host, 'cluster.key'))
    configure(host)
    daemons.set(host, await startedNode(lab, host, { config: configFile(host) }))
  }
  await agreed(lab, HOSTS)
  old = (await lab.status('h1')).keys[0]!.fingerprint
})
afterAll(async () => {
  await labDown(NAME)
  rmSync(directory, { recursive: true, force: true })
})

function keyFile(host: string, name: string): string {
  return join(directory, host, name)
}

function configFile(host: string): string {
  return join(directory, host, 'config.yaml')
}

function configure(host: string, gossip: Readonly<Record<string, unknown>> = {}): void {
  const seeds = HOSTS.filter((other) => other !== host).map((other) => `${lab.host(other).address}:7600`)
  writeConfig(lab, host, configFile(host), {
    clusterKeyFile: keyFile(host, 'cluster.key'),
    gossip: { port: 7_600, seeds, ...gossip },
  })
}

/** Sends SIGHUP and returns what the log says about it. */
async function reload(host: string) {
  const since = logLines(lab, host).length
  daemons.get(host)!.kill('SIGHUP')
  const told = await eventually(
    `reload of ${host}`,
    () =>
      logLines(lab, host)
        .slice(since)
        .find(({ event }) => event?.startsWith('reload')),
    (line) => line !== undefined,
  )
  return told!
}

async function fingerprints(host: string): Promise<string[]> {
  return (await lab.status(host)).keys.map(({ fingerprint }) => fingerprint)
}

/** Nobody died, left or was refused since. */
function expectCalm(since: ReadonlyMap<string, number>): void {
  for (const host of HOSTS) {
    const lines = logLines(lab, host).slice(since.get(host))
    expect(
      lines.filter(({ event, status }) => event === 'stranger' || status === 'dead' || status === 'left'),
      host,
    ).toEqual([])
  }
}

function now(): Map<string, number> {
  return new Map(HOSTS.map((host) => [host, logLines(lab, host).length]))
}

describe('a new cluster key, without downtime', () => {
  it('is accepted everywhere, then used everywhere, then alone', async () => {
    const since = now()
    for (const host of HOSTS) {
      copyFileSync(join(directory, 'next'), keyFile(host, 'cluster.key.new'))
      configure(host, { otherClusterKeyFiles: [keyFile(host, 'cluster.key.new')] })
      expect(await reload(host)).toMatchObject({ level: 'info', event: 'reloaded', needRestart: [] })
    }
    next = (await fingerprints('h1'))[1]!
    expect(next).not.toBe(old)
    for (const host of HOSTS) expect(await fingerprints(host)).toEqual([old, next])

    for (const host of HOSTS) {
      copyFileSync(join(directory, 'next'), keyFile(host, 'cluster.key'))
      copyFileSync(join(directory, 'old'), keyFile(host, 'cluster.key.new'))
      expect(await reload(host)).toMatchObject({ event: 'reloaded', keys: [next, old] })
    }
    await agreed(lab, HOSTS)
    // A node that starts anew in between joins whatever the others have got to.
    expect(await stopNode(daemons.get('h3')!)).toEqual({ code: 0, signal: null })
    daemons.set('h3', await startedNode(lab, 'h3', { config: configFile('h3') }))
    await agreed(lab, HOSTS)
    const after = now()

    for (const host of HOSTS) {
      configure(host)
      expect(await reload(host)).toMatchObject({ event: 'reloaded', keys: [next] })
    }
    await agreed(lab, HOSTS)
    for (const host of HOSTS) {
      const key = await eventually(
        `links of ${host}`,
        async () => (await lab.status(host)).keys,
        (keys) => keys[0]!.links >= 2,
      )
      expect(key).toMatchObject([{ fingerprint: next }])
    }
    expectCalm(after)
    since.set('h3', after.get('h3')!)
    const deaths = HOSTS.flatMap((host) =>
      logLines(lab, host)
        .slice(since.get(host))
        .filter(({ status }) => status === 'dead'),
    )
    expect(deaths).toEqual([])
  })

  it('keeps the key of the hashes until a restart', async () => {
    expect((await lab.status('h1')).hashKey).toBe(old)
    expect((await lab.status('h3')).hashKey).toBe(next)
  })

  it('a node that still has the old key is refused', async () => {
    expect(await stopNode(daemons.get('h3')!)).toEqual({ code: 0, signal: null })
    copyFileSync(join(directory, 'old'), keyFile('h3', 'cluster.key'))
    const refused = startNode(lab, 'h3', { config: configFile('h3') })
    expect(await refused.ended).toEqual({ code: 16, signal: null })
    copyFileSync(join(directory, 'next'), keyFile('h3', 'cluster.key'))
    daemons.set('h3', await startedNode(lab, 'h3', { config: configFile('h3') }))
    await agreed(lab, HOSTS)
  })
})

describe('a reload with something wrong changes nothing', () => {
  const rows: { name: string; spoil: () => void; says: string }[] = [
    {
      name: 'a key that is none',
      spoil: () => writeFileSync(keyFile('h1', 'cluster.key'), 'open sesame\n', { mode: 0o600 }),
      says: 'E_CLUSTER_KEY_INVALID',
    },
    {
      name: 'a key file that is not there',
      spoil: () => configure('h1', { otherClusterKeyFiles: [keyFile('h1', 'nowhere')] }),
      says: 'E_CLUSTER_KEY_MISSING',
    },
    {
      name: 'a configuration that is wrong',
      spoil: () => configure('h1', { allow: ['h2'] }),
      says: 'E_CONFIG_INVALID',
    },
  ]
  it.each(rows)('$name', async ({ spoil, says }) => {
    const before = await lab.status('h1')
    spoil()
    expect(await reload('h1')).toMatchObject({
      level: 'error',
      event: 'reload-failed',
      reason: expect.stringContaining(says),
    })
    const { keys, allowed } = await lab.status('h1')
    expect(keys.map(({ fingerprint }) => fingerprint)).toEqual(before.keys.map(({ fingerprint }) => fingerprint))
    expect(allowed).toBe(null)
    copyFileSync(join(directory, 'next'), keyFile('h1', 'cluster.key'))
    configure('h1')
    expect(await reload('h1')).toMatchObject({ event: 'reloaded' })
    await agreed(lab, HOSTS)
  })

  it('keys that need a restart are named', async () => {
    configure('h1', { port: 7_601 })
    expect(await reload('h1')).toMatchObject({ event: 'reloaded', needRestart: ['gossip.port'] })
    configure('h1')
    await reload('h1')
  })
})

describe('the list of allowed nodes', () => {
  it('shuts out a member at once, though it has the key, and lets it in again', async () => {
    const ids = await Promise.all(['h1', 'h2'].map(async (host) => (await lab.status(host)).id))
    for (const host of ['h1', 'h2']) {
      configure(host, { allow: ids })
      expect(await reload(host)).toMatchObject({ event: 'reloaded', allowed: 2 })
    }
    for (const host of ['h1', 'h2']) {
      await eventually(
        `h3 as seen by ${host}`,
        () => seen(lab, host, 'h3'),
        (status) => status !== 'alive' && status !== 'suspect',
      )
    }
    expect(await seen(lab, 'h1', 'h2')).toBe('alive')
    await eventually(
      'a line about h3',
      () => logLines(lab, 'h1').filter(({ event }) => event === 'stranger').length,
      (n) => n > 0,
    )
    for (const host of ['h1', 'h2']) {
      configure(host)
      expect(await reload(host)).toMatchObject({ event: 'reloaded', allowed: null })
    }
    await agreed(lab, HOSTS)
  })
})
