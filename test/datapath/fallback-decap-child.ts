/**
 * What the namespace test runs inside its hosts, one role a process: `decap` (the thing under test, by commands on
 * stdin), `encap` (a classifier that sends packets for the published address through IPIP, like a rewriting peer),
 * `serve` and `upload` (the two ends of a TCP connection). Each answers in lines of JSON on stdout.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { addressBytes } from '../../datapath/bpf-loader/address-map.ts'
import { loadClassifier } from '../../datapath/bpf-loader/bpf.ts'
import { putFilter } from '../../datapath/bpf-loader/tc-filter.ts'
import { DatapathError } from '../../datapath/errors.ts'
import { createFallbackDecap } from '../../datapath/host/fallback-decap.ts'
import { encapProgram } from './fallback-decap-encap.ts'

const [role, argument = '{}'] = process.argv.slice(2)
const options = JSON.parse(argument) as Record<string, string>
const say = (value: unknown) => void process.stdout.write(`${JSON.stringify(value)}\n`)
const ifindexOf = (name: string) => Number(/^\d+/.exec(readInterface(name))?.[0])
const readInterface = (name: string) => readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8')

function decap(): void {
  const fallback = createFallbackDecap()
  createInterface(process.stdin).on('line', (line) => {
    const [command, list] = JSON.parse(line) as [keyof typeof fallback, string[]]
    try {
      if (command === 'attach') {
        const address = options['address']!
        fallback.attach(list.map((name) => ({ name, ifindex: ifindexOf(name), address })))
      } else if (command === 'detach') {
        fallback.detach()
      } else {
        fallback[command](list)
      }
      say('done')
    } catch (error) {
      if (!(error instanceof DatapathError)) throw error
      say({ code: error.code, message: error.message, remedy: error.remedy })
    }
  })
  say('ready')
}

function encap(): void {
  const hexBytes = (text: string) => Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16))
  const code = encapProgram({
    published: addressBytes(options['published']!),
    source: addressBytes(options['source']!),
    destination: addressBytes(options['destination']!),
    sourceMac: hexBytes(options['sourceMac']!),
    destinationMac: hexBytes(options['destinationMac']!),
    ifindex: ifindexOf(options['out']!),
  })
  say(putFilter({ ifindex: ifindexOf(options['in']!), priority: 1 }, loadClassifier('encap', code), 'encap'))
}

function serve(): void {
  const server = createServer((socket) => {
    const hash = createHash('sha256')
    socket.on('data', (chunk) => hash.update(chunk))
    socket.on('end', () => socket.end(hash.digest('hex')))
    socket.on('error', () => socket.destroy())
  })
  server.listen(Number(options['port']), options['address'], () => say('ready'))
}

/** Uploads bytes that differ everywhere, so that a lost, doubled or damaged segment shows in the hash. */
function upload(): void {
  const body = Buffer.alloc(Number(options['bytes']))
  for (let at = 0; at + 4 <= body.length; at += 4) body.writeUInt32LE(Math.imul(at, 0x9e3779b1) >>> 0, at)
  const socket = connect({ host: options['address']!, port: Number(options['port']) }, () => socket.end(body))
  let answer = ''
  socket.setEncoding('latin1')
  socket.on('data', (text: string) => (answer += text))
  socket.on('close', () => say({ intact: answer === createHash('sha256').update(body).digest('hex'), answer }))
  socket.on('error', (error) => say({ error: error.message }))
}

const roles: Record<string, () => void> = { decap, encap, serve, upload }
roles[role!]!()
