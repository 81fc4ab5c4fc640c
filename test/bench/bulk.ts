/**
 * Bytes per second of one large upload through DPR ÷ direct. Segments travel as super-packets of up to 64 KB, so this
 * measures copying and system calls per super-packet where `get` measures those per small packet.
 *
 * nginx reads the body and throws it away: writing files would hide the network behind the disk. It answers early, and
 * curl stops its clock when the last byte is handed to the kernel; at most a socket buffer (some MB of 1 GiB, both ways
 * alike) is still under way then. That all of it went the way claimed is read from the interfaces of both hosts.
 */
import { mkdtempSync, openSync, closeSync, ftruncateSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Lab } from '../../lab/lab.ts'
import { NGINX_SERVER } from '../integration/nginx.ts'
import { countsAtRest, grownCounts, interfaceCounts, withLab } from './bench-lab.ts'
import type { HostCounts } from './bench-lab.ts'
import { RATIO_COLUMNS, count, ratioCells } from './report.ts'
import type { Row, Section } from './report.ts'
import { unlessEnded } from './run-context.ts'
import type { RunContext } from './run-context.ts'
import { median, pairedRatios } from './statistics.ts'

const BODY_BYTES = 1_073_741_824
const CURL_TIMEOUT_S = 60
/** What else may pass an interface meanwhile: gossip, ARP, the answer. */
const OTHER_BYTES_MAX = 10_000_000
const NAME = 'upload of 1 GiB, redirected by mac'

export interface Upload {
  bytesPerSecond: number
  status: number
  uploadedBytes: number
  /** Received by the interface of each host. */
  h1RxBytes: number
  h2RxBytes: number
  h1: HostCounts
  h2: HostCounts
}

export interface BulkRaw {
  through: Upload[]
  direct: Upload[]
}

export async function benchBulk(context: RunContext): Promise<{ section: Section; raw: BulkRaw }> {
  const directory = mkdtempSync(join(tmpdir(), 'dpr-bench-'))
  try {
    const file = join(directory, 'body')
    makeSparse(file, BODY_BYTES)
    const spec = { segments: 1, hostsPerSegment: 2, policy: 'router', addressing: 'mac', server: NGINX_SERVER } as const
    const raw = await withLab(context, spec, (lab) => measure(context, lab, file))
    return { section: sectionOf(raw), raw }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Zeros that take no room on the disk. */
function makeSparse(path: string, bytes: number): void {
  const descriptor = openSync(path, 'wx', 0o600)
  ftruncateSync(descriptor, bytes)
  closeSync(descriptor)
}

async function measure(context: RunContext, lab: Lab, file: string): Promise<BulkRaw> {
  const through = (): Promise<Upload> => upload(context, lab, lab.host('h1').published[0]!, file)
  const direct = (): Promise<Upload> => upload(context, lab, lab.host('h2').address, file)
  await through()
  await direct()
  const raw: BulkRaw = { through: [], direct: [] }
  for (let pair = 1; pair <= context.options.pairs; pair++) {
    raw.through.push(await through())
    raw.direct.push(await direct())
    const [a, b] = [raw.through.at(-1)!, raw.direct.at(-1)!].map(({ bytesPerSecond }) => gigabits(bytesPerSecond))
    context.say(`  ${NAME}: pair ${pair} of ${context.options.pairs}: ${a} ÷ ${b}`)
  }
  return raw
}

async function upload(context: RunContext, lab: Lab, address: string, file: string): Promise<Upload> {
  const before = await countsAtRest(context, lab)
  const rx = (host: string): Promise<number> => interfaceCounts(lab, host).then(({ rxBytes }) => rxBytes)
  const [h1Before, h2Before] = [await rx('h1'), await rx('h2')]
  const format = '%{http_code} %{size_upload} %{speed_upload}'
  // Without an Expect header, or curl waits before it sends. The target is the page that `get` asks for, whose handler
  // discards a body; curl alone would append the file's name to it.
  const argv = [
    'curl',
    '-sS',
    '-m',
    String(CURL_TIMEOUT_S),
    '-H',
    'Expect:',
    '--request-target',
    '/',
    '-o',
    '/dev/null',
    '-w',
    format,
  ]
  const run = lab.exec('client', [...argv, '-T', file, `http://${address}/body`], { timeoutMs: CURL_TIMEOUT_S * 2_000 })
  const { code, stdout, stderr } = await unlessEnded(context.signal, run)
  if (code !== 0) throw new Error(`upload to ${address}: ${stderr.trim()}`)
  const [status, uploadedBytes, bytesPerSecond] = stdout.trim().split(' ').map(Number)
  const after = await countsAtRest(context, lab)
  return {
    bytesPerSecond: bytesPerSecond!,
    status: status!,
    uploadedBytes: uploadedBytes!,
    h1RxBytes: (await rx('h1')) - h1Before,
    h2RxBytes: (await rx('h2')) - h2Before,
    h1: grownCounts(before, after, 'h1'),
    h2: grownCounts(before, after, 'h2'),
  }
}

/** Why an upload is no measurement; empty if it is one. */
export function uploadProblems(way: 'mac' | 'direct', run: Upload): string[] {
  const problems: string[] = []
  const must = (holds: boolean, otherwise: string): void => {
    if (!holds) problems.push(otherwise)
  }
  must(run.status === 200, `the server answered ${run.status}`)
  must(run.uploadedBytes === BODY_BYTES, `curl sent ${run.uploadedBytes} bytes`)
  must(run.h2RxBytes >= BODY_BYTES, `only ${run.h2RxBytes} bytes arrived at h2`)
  if (way === 'mac') {
    must(run.h1RxBytes >= BODY_BYTES, `only ${run.h1RxBytes} bytes passed h1`)
    must(run.h1.flowsRedirected === 1, `${run.h1.flowsRedirected} flows were redirected, not 1`)
    must(run.h2.flowsReceived === 1, `h2 received ${run.h2.flowsReceived} flows, not 1`)
    must(run.h1.packetsIpip === 0, `${run.h1.packetsIpip} packets went by ipip`)
  } else {
    must(run.h1RxBytes <= OTHER_BYTES_MAX, `${run.h1RxBytes} bytes of a direct upload reached h1`)
    const packets = run.h1.packetsMac + run.h2.packetsLocal
    must(packets === 0, `${packets} packets of a direct upload passed an engine`)
  }
  return problems
}

function sectionOf(raw: BulkRaw): Section {
  const problems = [
    ...raw.through.flatMap((run) => uploadProblems('mac', run)),
    ...raw.direct.flatMap((run) => uploadProblems('direct', run)),
  ]
  const refused = problems.length > 0
  return {
    title: 'Bulk upload through DPR ÷ direct',
    how: `curl to nginx, which discards the body; pairs: ${raw.through.length}, through and direct in turns.`,
    columns: RATIO_COLUMNS,
    rows: [refused ? { name: NAME, refused: [...new Set(problems)] } : figures(raw)],
    remarks: refused ? [] : remarksOf(raw.through),
  }
}

function remarksOf(through: readonly Upload[]): string[] {
  const bytes = median(through.map((run) => BODY_BYTES / run.h1.packetsMac))
  const dropped = through.reduce((sum, run) => sum + run.h1.dropped + run.h2.dropped, 0)
  const remarks = [`${count(bytes)} bytes of body per packet that h1's engine handled, median`]
  if (dropped > 0) remarks.push(`the engines dropped ${count(dropped)} packets; TCP sent them again`)
  return remarks
}

function figures({ through, direct }: BulkRaw): Row {
  const [ours, reference] = [through, direct].map((runs) => runs.map(({ bytesPerSecond }) => bytesPerSecond))
  const ratios = pairedRatios(ours!, reference!)
  return {
    name: NAME,
    cells: ratioCells(ratios, undefined, gigabits(median(ours!)), gigabits(median(reference!))),
  }
}

function gigabits(bytesPerSecond: number): string {
  return `${((bytesPerSecond * 8) / 1e9).toFixed(2)} Gbit/s`
}
