/** Members by name: an allow-list over real libp2p, at the start and while the cluster runs. */
import { afterEach, describe, expect, test } from 'vitest'
import { signerOf } from './fixtures.ts'
import { Cleanups, seesAll, statusOf, until } from './loopback-cluster.ts'
import type { Node } from './loopback-cluster.ts'

const cleanups = new Cleanups()
afterEach(cleanups.undoAll)

const idsOf = (...indexes: number[]): Promise<string[]> =>
  Promise.all(indexes.map(async (index) => (await signerOf(index)).id))
const strangers = (node: Node): string[] =>
  node.events.flatMap((event) => (event.type === 'stranger' ? [event.reason] : []))
const known = (node: Node): number => node.membership.members().length

describe('an allow-list', () => {
  test('lets in who is on it; whoever else has the key stays a stranger', async () => {
    const allowList = await idsOf(0, 1)
    const first = await cleanups.startNode(0, { allowList })
    const second = await cleanups.startNode(1, { allowList, seeds: [first.port] })
    const third = await cleanups.startNode(2, { seeds: [first.port, second.port] })
    await until('the two are members', () => seesAll(first, [second]) && seesAll(second, [first]))
    await until('the third is noticed', () => [first, second].every((node) => strangers(node).length > 0))
    expect(strangers(first)).toEqual([`${third.membership.id} is not on the allow-list`])
    expect([known(first), known(second), known(third)]).toEqual([2, 2, 1])
  })

  test('refuses to be dialled into a connection with somebody else', async () => {
    const [stranger] = [await cleanups.startNode(2)]
    const first = await cleanups.startNode(0, { allowList: await idsOf(0, 1), seeds: [stranger.port] })
    await until('dialled', () => first.membership.counters().dialsFailed > 0)
    expect([known(first), known(stranger), first.membership.counters().connections]).toEqual([1, 1, 0])
  })

  test('believes nothing that a member tells about somebody else', async () => {
    const first = await cleanups.startNode(0, { allowList: await idsOf(0, 1) })
    const second = await cleanups.startNode(1, { seeds: [first.port] })
    const third = await cleanups.startNode(2, { seeds: [second.port] })
    await until('the second knows both', () => seesAll(second, [first, third]))
    await until('it has had time to tell', () => first.membership.counters().pingsReceived > 10)
    expect(known(first)).toBe(2)
  })

  test('can be changed: who is taken off it is gone at once, and back when it is gone', async () => {
    const nodes = await cleanups.startCluster(3)
    const [first, second, third] = nodes as [Node, Node, Node]
    for (const node of [first, second]) node.membership.setAllowList(await idsOf(0, 1))
    expect(statusOf(first, third.membership.id)).toBe(undefined)
    expect(first.events.at(-1)).toMatchObject({ type: 'forgotten', id: third.membership.id })
    await until('its links end', () => third.membership.counters().connections === 0)
    await until('it is alone', () => third.membership.members().every(({ self, status }) => self || status === 'dead'))
    expect([seesAll(first, [second]), seesAll(second, [first])]).toEqual([true, true])
    for (const node of [first, second]) node.membership.setAllowList(undefined)
    await until('back', () => nodes.every((node) => seesAll(node, nodes)))
  })
})
