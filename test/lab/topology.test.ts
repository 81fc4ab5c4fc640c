/** From description to commands: what would run, without running it. */
import { describe, expect, test } from 'vitest'
import { labSpec } from '../../lab/spec.ts'
import { belongsTo, namespacesOf, topologyPlan } from '../../lab/topology.ts'

const plan = topologyPlan(labSpec({ name: 'x' }))
const inside = (node: string) => plan.inside.find(({ namespace }) => namespace === `dpr-x-${node}`)!

describe('the plan', () => {
  test('creates each link with both ends inside namespaces of this lab', () => {
    const own = new Set(namespacesOf(labSpec({ name: 'x' })))
    expect(plan.links).toHaveLength(1 + 2 + 4)
    for (const line of plan.links) {
      const named = [...line.matchAll(/netns (\S+)/g)].map((match) => match[1]!)
      expect(named).toHaveLength(2)
      for (const namespace of named) expect(own).toContain(namespace)
    }
  })

  test('plugs each host and the router into the bridge of its segment', () => {
    expect(inside('switch').ip).toEqual([
      'link set lo up',
      'link add br-a mtu 1500 type bridge stp_state 0 mcast_snooping 0',
      'link set br-a up',
      'link set rt-a master br-a up',
      'link add br-b mtu 1500 type bridge stp_state 0 mcast_snooping 0',
      'link set br-b up',
      'link set rt-b master br-b up',
      'link set h1 master br-a up',
      'link set h2 master br-a up',
      'link set h3 master br-b up',
      'link set h4 master br-b up',
    ])
  })

  test('gives the router a leg in each segment and one to the client', () => {
    expect(inside('router').ip.filter((line) => line.startsWith('addr'))).toEqual([
      'addr add 10.9.0.254/24 dev client',
      'addr add 10.1.0.254/24 dev lan-a',
      'addr add 10.2.0.254/24 dev lan-b',
    ])
    expect(inside('router').sysctls).toContain('net.ipv4.ip_forward=1')
  })

  test('switches IPv6 off everywhere', () => {
    for (const { sysctls } of plan.inside) expect(sysctls).toContain('net.ipv6.conf.all.disable_ipv6=1')
  })

  test('limits a host both ways, and nothing unless asked', () => {
    expect(plan.inside.flatMap(({ tc }) => tc)).toEqual([])
    const limited = topologyPlan(labSpec({ name: 'x', linkMbit: 100, segments: 1 }))
    expect(limited.inside.flatMap(({ namespace, tc }) => tc.map((line) => `${namespace}: ${line}`))).toEqual(
      ['dpr-x-switch: qdisc add dev h1', 'dpr-x-switch: qdisc add dev h2', 'dpr-x-h1: qdisc add dev eth0']
        .concat('dpr-x-h2: qdisc add dev eth0')
        .map((line) => `${line} root tbf rate 100mbit burst 256kb latency 50ms`),
    )
  })
})

describe('whose namespace is it', () => {
  const rows: [string, string, boolean][] = [
    ['a host', 'dpr-x-h1', true],
    ['a helper', 'dpr-x-router', true],
    ['another lab', 'dpr-y-h1', false],
    ['a lab whose name begins with this one', 'dpr-x-y-h1', false],
    ['a lab named like a host of this one', 'dpr-x-h1-h1', false],
    ['something else', 'h1', false],
  ]
  test.each(rows)('%s: %s', (_, namespace, expected) => {
    expect(belongsTo('x', namespace)).toBe(expected)
  })
})
