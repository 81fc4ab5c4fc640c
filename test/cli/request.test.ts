import { describe, expect, test } from 'vitest'
import { COMMANDS } from '../../cli/commands.ts'
import { neededIds, resolveRequest } from '../../cli/request.ts'
import type { Request } from '../../cli/request.ts'

const IDS = ['init', 'node:start', 'peers', 'status', 'lab:up', 'lab:exec']

describe('what a command line asks for', () => {
  test.each<[line: string, request: Request]>([
    ['peers', { kind: 'command', id: 'peers', argv: [] }],
    ['peers --json', { kind: 'command', id: 'peers', argv: ['--json'] }],
    ['peers foo', { kind: 'command', id: 'peers', argv: ['foo'] }],
    ['node start --name h1', { kind: 'command', id: 'node:start', argv: ['--name', 'h1'] }],
    ['lab exec h1 -- ip --help', { kind: 'command', id: 'lab:exec', argv: ['h1', '--', 'ip', '--help'] }],
    ['', { kind: 'help', argv: ['--help'], ids: IDS }],
    ['--help', { kind: 'help', argv: ['--help'], ids: IDS }],
    ['-h', { kind: 'help', argv: ['--help'], ids: IDS }],
    ['help', { kind: 'help', argv: ['--help'], ids: IDS }],
    ['peers --help', { kind: 'help', argv: ['peers', '--help'], ids: ['peers'] }],
    ['peers --json -h', { kind: 'help', argv: ['peers', '--help'], ids: ['peers'] }],
    ['help node start', { kind: 'help', argv: ['node:start', '--help'], ids: ['node:start'] }],
    ['node', { kind: 'help', argv: ['node', '--help'], ids: ['node:start'] }],
    ['lab --help', { kind: 'help', argv: ['lab', '--help'], ids: ['lab:up', 'lab:exec'] }],
    ['--version', { kind: 'version' }],
    ['-v', { kind: 'version' }],
  ])('dpr %s', (line, request) => {
    expect(resolveRequest(IDS, line.split(' ').filter(Boolean))).toEqual(request)
  })

  test.each<[line: string, message: string, remedy: string]>([
    ['perrs', 'unknown command "perrs"', 'did you mean dpr peers?'],
    ['perrs --json', 'unknown command "perrs"', 'did you mean dpr peers?'],
    ['stauts now', 'unknown command "stauts"', 'did you mean dpr status?'],
    ['node strat', 'unknown command "node strat"', 'did you mean dpr node start?'],
    ['nod start --name h1', 'unknown command "nod start"', 'did you mean dpr node start?'],
    ['lab --name x', 'dpr lab needs a command', 'use dpr lab up or dpr lab exec'],
    ['frobnicate', 'unknown command "frobnicate"', 'dpr --help lists the commands'],
    ['--json peers', '--json stands before any command', 'put flags after the command'],
  ])('dpr %s: nothing that exists', (line, message, remedy) => {
    expect(resolveRequest(IDS, line.split(' '))).toEqual({
      kind: 'unknown',
      message,
      remedy: expect.stringContaining(remedy),
    })
  })

  test('only what is needed is loaded', () => {
    expect(neededIds(resolveRequest(IDS, ['peers', '--json']))).toEqual(['peers'])
    expect(neededIds(resolveRequest(IDS, ['--version']))).toEqual([])
    expect(neededIds(resolveRequest(IDS, ['frobnicate']))).toEqual([])
    expect(neededIds(resolveRequest(IDS, []))).toEqual(IDS)
  })
})

test.each(Object.entries(COMMANDS))('%s: its module holds a command with a summary', async (_id, load) => {
  const { default: command } = await load()
  expect(command.run).toBeTypeOf('function')
  expect(command.summary).toMatch(/^[A-Z].*\.$/u)
})
