/** The rtnetlink messages that put a classifier on an interface, byte by byte, and the kernel's answers to them. */
import { describe, expect, test } from 'vitest'
import { decodeAnswer, encodePut, encodeRemove } from '../../datapath/bpf-loader/tc-filter.ts'

const compact = (text: string) => text.replaceAll(/\s|\|/g, '')

describe('requests', () => {
  test('put: RTM_NEWTFILTER with create, handle 1, clsact ingress, priority and ETH_P_IP, direct action', () => {
    expect(encodePut({ ifindex: 7, priority: 48_120 }, 0x21, 'dpr-decap').toString('hex')).toBe(
      compact(`
        50000000 2c00 0504 00000000 00000000
        00000000 07000000 01000000 f2ffffff 0800 f8bb
        0800 0100 62706600
        2400 0280
          0800 0600 21000000
          0e00 0700 6470722d6465636170 00 0000
          0800 0800 01000000
      `),
    )
  })

  test('remove: the same place and kind, so that a filter of another kind stays', () => {
    expect(encodeRemove({ ifindex: 7, priority: 48_120 }).toString('hex')).toBe(
      compact(`
        2c000000 2d00 0500 00000000 00000000
        00000000 07000000 01000000 f2ffffff 0800 f8bb
        0800 0100 62706600
      `),
    )
  })
})

describe('answers', () => {
  const header = '00000000 00000000 00000000 00000000'
  test.each<[string, string, { errno: number; reason: string }]>([
    ['done', `24000000 0200 0001 00000000 00000000 00000000 ${header}`, { errno: 0, reason: '' }],
    [
      'refused without a reason: the meaning of the errno',
      `24000000 0200 0001 00000000 00000000 edffffff ${header}`,
      { errno: 19, reason: 'no such device' },
    ],
    [
      'refused with a reason, behind another attribute',
      `38000000 0200 0003 00000000 00000000 eaffffff ${header} 0800 0200 05000000 0a00 0100 6e6f 7065 2100 0000`,
      { errno: 22, reason: 'nope!' },
    ],
    [
      'an attribute longer than the message is left alone',
      `28000000 0200 0003 00000000 00000000 eaffffff ${header} 4000 0100`,
      { errno: 22, reason: 'invalid argument' },
    ],
  ])('%s', (_name, bytes, answer) => {
    expect(decodeAnswer(Buffer.from(compact(bytes), 'hex'))).toEqual(answer)
  })

  test('anything else is a bug', () => {
    expect(() => decodeAnswer(Buffer.alloc(20))).toThrow('no acknowledgement')
  })
})
