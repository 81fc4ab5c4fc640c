/** Every policy on a real cluster with nginx: who serves, that bytes arrive whole both ways, that 500 at once do. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Lab } from '../../lab/lab.ts'
import type { LabUpOptions } from '../../lab/up.ts'
import { labDown, labUp } from '../../lab/up.ts'
import type { PolicyName } from '../../policy/types.ts'
import { BODY_BYTES, countNames, download, getNameFrom, NGINX_SERVER, serverFile, sha256, upload } from './nginx.ts'

const directory = mkdtempSync(join(tmpdir(), 'dpr-policies-'))
const body = randomBytes(BODY_BYTES)
const bodyPath = join(directory, 'up')
const bodyHash = sha256(body)

beforeAll(() => writeFileSync(bodyPath, body))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

interface Row {
  policy: PolicyName
  options: LabUpOptions
  /** Hosts that must serve flows that arrive at h1, over both ways where there are two. */
  serve: string[]
}

const rows: Row[] = [
  { policy: 'ring', options: {}, serve: ['h1', 'h2', 'h3', 'h4'] },
  { policy: 'hash', options: {}, serve: ['h1', 'h2', 'h3', 'h4'] },
  { policy: 'router', options: {}, serve: ['h2', 'h3', 'h4'] },
  { policy: 'local', options: {}, serve: ['h1'] },
  { policy: 'above-average', options: {}, serve: ['h1'] },
  { policy: 'ring', options: { addressing: 'ipip', segments: 1, hostsPerSegment: 3 }, serve: ['h1', 'h2', 'h3'] },
  { policy: 'hash', options: { addressing: 'ipip', segments: 1, hostsPerSegment: 3 }, serve: ['h1', 'h2', 'h3'] },
]

describe.each(rows)('policy $policy, $options', ({ policy, options, serve }) => {
  const name = `pol${process.pid}`
  let lab: Lab
  let address: string
  beforeAll(async () => {
    lab = await labUp({ name, policy, server: NGINX_SERVER, ...options })
    address = lab.host('h1').published[0]!
  })
  afterAll(() => labDown(name))

  it('spreads new connections as it says', async () => {
    const count = 60
    const before = await lab.status('h1')
    const names = await countNames(lab, address, count)
    expect(Object.keys(names).sort()).toEqual(serve)
    const { counters, drops, snapshotVersion } = await lab.status('h1')
    const local = counters.local - before.counters.local
    const redirected = counters.redirected - before.counters.redirected
    expect([local, redirected], JSON.stringify(drops)).toEqual([names['h1'] ?? 0, count - (names['h1'] ?? 0)])
    if (policy === 'ring' || policy === 'router') {
      // Smooth order: everybody within one of its share; each new ring in between may start one off at either end.
      const slack = 1 + 2 * (snapshotVersion - before.snapshotVersion)
      for (const host of serve) expect(Math.abs(names[host]! - count / serve.length), host).toBeLessThanOrEqual(slack)
    }
  })

  it('sends packets as the way demands: mac in the segment, ipip across or when forced', async () => {
    const modes = Object.fromEntries((await lab.peers('h1')).map((peer) => [peer.name, peer.mode]))
    const { packets } = await lab.status('h1')
    const forced = options.addressing === 'ipip'
    expect(modes['h2']).toBe(forced ? 'ipip' : 'mac')
    expect(modes['h3']).toBe('ipip')
    expect(packets.mac > 0).toBe(serve.includes('h2') && !forced)
    expect(packets.ipip > 0).toBe(serve.includes('h3'))
  })

  it('carries 10 MB both ways, byte for byte, from and to every host that serves', async () => {
    // First all one way, then all the other: taking turns with a ring of even length would meet the same hosts again.
    const from = new Set(serve)
    for (let round = 0; round < 40 && from.size > 0; round++) {
      const got = await download(lab, address)
      expect(got.sha256, `from ${got.host}`).toBe(sha256(serverFile(lab, got.host, 'down')))
      from.delete(got.host)
    }
    const to = new Set(serve)
    for (let round = 0; round < 40 && to.size > 0; round++) {
      const host = await upload(lab, address, bodyPath, `up-${round}`)
      expect(sha256(serverFile(lab, host, `up-${round}`)), `to ${host}`).toBe(bodyHash)
      to.delete(host)
    }
    expect([[...from], [...to]], 'hosts that were never reached').toEqual([[], []])
  })

  it('carries 500 connections at once without an error', async () => {
    const url = `http://${address}/`
    const { stdout } = await lab.exec('client', ['wrk', '-t1', '-c500', '-d3', '--timeout', '10s', url])
    expect(stdout).toMatch(/requests in/)
    expect(stdout).not.toMatch(/Socket errors|Non-2xx/)
    expect((await lab.status('h1')).counters.dropped).toBe(0)
  })

  if (policy === 'hash') {
    it('sends a client port always to the same host', async () => {
      for (const port of [40_001, 40_002, 40_003]) {
        const first = await getNameFrom(lab, address, port)
        const other = lab.host('h2').published[0]!
        // Whoever is asked: the hash takes the client's address and port, and the table is the same everywhere.
        expect(await getNameFrom(lab, other, port), `port ${port}`).toBe(first)
      }
    })
  }
})
