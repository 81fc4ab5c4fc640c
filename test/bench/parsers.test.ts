/** What other programs and the kernel say, as figures; and what must not pass for one. */
import { describe, expect, it } from 'vitest'
import { parseCpuSeconds, parseRssMiB } from './idle.ts'
import { linkCounts } from './links.ts'
import { parseCpuTime, stealShare } from './machine.ts'
import { parseWrk } from './wrk.ts'

const WRK_HEAD = `Running 5s test @ http://10.1.0.101/
  1 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.31ms    1.02ms  30.11ms   91.00%
    Req/Sec    21.75k     1.20k   23.90k    70.00%
  108341 requests in 5.01s, 22.11MB read
`
const WRK_TAIL = `Requests/sec:  21625.15
Transfer/sec:      4.41MB
`

describe('wrk', () => {
  it.each([
    { name: 'a clean run', extra: '', socketErrors: 0, badAnswers: 0 },
    {
      name: 'socket errors of every kind',
      extra: '  Socket errors: connect 1, read 20, write 300, timeout 4000\n',
      socketErrors: 4_321,
      badAnswers: 0,
    },
    { name: 'bad answers', extra: '  Non-2xx or 3xx responses: 17\n', socketErrors: 0, badAnswers: 17 },
  ])('$name', ({ extra, socketErrors, badAnswers }) => {
    const expected = { requests: 108_341, requestsPerSecond: 21_625.15, socketErrors, badAnswers }
    expect(parseWrk(WRK_HEAD + extra + WRK_TAIL)).toEqual(expected)
  })

  it.each(['', 'unable to connect to 10.1.0.101:80 Connection refused\n', WRK_HEAD])('refuses %j', (output) => {
    expect(() => parseWrk(output)).toThrow(/wrk said/)
  })
})

describe('the kernel', () => {
  it('CPU time of a process whose name looks like fields', () => {
    const fields = ['S', '1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '250', '50', '0', '0']
    expect(parseCpuSeconds(`4711 (no) de 1 2) ${fields.join(' ')}\n`)).toBe(3)
  })

  it('resident memory', () => expect(parseRssMiB('VmPeak:\t 99999 kB\nVmRSS:\t  20480 kB\n')).toBe(20))

  it('stolen time', () => {
    const from = parseCpuTime('cpu  10 0 10 70 0 0 0 10 5 5\ncpu0 1 1 1 1 1 1 1 1 1 1\n')
    const to = parseCpuTime('cpu  20 0 20 140 0 0 0 20 9 9\n')
    expect([from.total, stealShare(from, to), stealShare(to, to)]).toEqual([100, 0.1, 0])
  })

  it('counters of one interface among several', () => {
    const stats = (n: number): object => ({ bytes: n, packets: n + 1, errors: 0, dropped: n + 2 })
    const listing = JSON.stringify([
      { ifname: 'lo', stats64: { rx: stats(1), tx: stats(1) } },
      { ifname: 'eth0', stats64: { rx: stats(10), tx: stats(20) } },
    ])
    const expected = { rxBytes: 10, rxPackets: 11, rxDropped: 12, txBytes: 20, txPackets: 21, txDropped: 22 }
    expect(linkCounts(listing, 'eth0')).toEqual(expected)
    expect(() => linkCounts(listing, 'dpr0')).toThrow(/no interface dpr0/)
  })
})
