/**
 * The bpf(2) system call: hash maps and programs, through an FFI (koffi). No library and no C of ours, since the few
 * calls here have been stable since Linux 4.x. Structures are prefixes of `union bpf_attr` in linux/bpf.h; the kernel
 * takes what is missing for zero.
 *
 * The kernel opens every descriptor of this call close-on-exec.
 */
import { arch } from 'node:os'
import { getSystemErrorMessage } from 'node:util'
import koffi, { type TypeObject } from 'koffi'
import { DatapathError } from '../errors.ts'
import { SLOT_BYTES } from './assembler.ts'

/** Fixed by the kernel's ABI. */
const SYSCALL_BY_ARCH: Readonly<Record<string, number>> = { x64: 321, arm64: 280 }
const COMMAND = { mapCreate: 0, mapUpdate: 2, mapDelete: 3, programLoad: 5 } as const
const BPF_MAP_TYPE_HASH = 1
const BPF_F_NO_PREALLOC = 1
const BPF_PROG_TYPE_SCHED_CLS = 3
const EPERM = 1
const ENOENT = 2
const EAGAIN = 11

/** A verifier's words on a program of a few dozen instructions take some 10 KB. */
const VERIFIER_LOG_BYTES = 65_536
/** The verifier gives up with EAGAIN when a signal arrives while it works. */
const LOAD_ATTEMPTS = 5

const NAME_BYTES = 16
const name = koffi.array('char', NAME_BYTES, 'String')
const mapCreate = koffi.struct({
  type: 'uint32',
  keyBytes: 'uint32',
  valueBytes: 'uint32',
  entriesMax: 'uint32',
  flags: 'uint32',
  innerMapFd: 'uint32',
  numaNode: 'uint32',
  name,
})
const mapElement = koffi.struct({ fd: 'uint32', key: 'void *', value: 'void *', flags: 'uint64' })
const programLoad = koffi.struct({
  type: 'uint32',
  instructions: 'uint32',
  code: 'void *',
  license: 'str',
  logLevel: 'uint32',
  logBytes: 'uint32',
  log: 'void *',
  kernelVersion: 'uint32',
  flags: 'uint32',
  name,
})

const libc = koffi.load(null)
const syscall = libc.func('syscall', 'long', ['long', 'int', 'void *', 'uint32']) as (
  number: number,
  command: number,
  attributes: ReturnType<typeof koffi.as>,
  bytes: number,
) => number

/** A hash map from 4 bytes to 4 bytes. Returns its descriptor. */
export function createMap(mapName: string, entriesMax: number): number {
  return demand(
    `cannot create the BPF map ${mapName}`,
    bpf(COMMAND.mapCreate, mapCreate, {
      type: BPF_MAP_TYPE_HASH,
      keyBytes: 4,
      valueBytes: 4,
      entriesMax,
      flags: BPF_F_NO_PREALLOC,
      innerMapFd: 0,
      numaNode: 0,
      name: mapName,
    }),
  )
}

/** Adds the 4-byte key, with the value 1. */
export function addKey(mapFd: number, key: Uint8Array): void {
  const value = new Uint8Array([1, 0, 0, 0])
  demand('cannot add to a BPF map', bpf(COMMAND.mapUpdate, mapElement, { fd: mapFd, key, value, flags: 0 }))
}

/** Removes the 4-byte key; a key that is not there is fine. */
export function removeKey(mapFd: number, key: Uint8Array): void {
  const result = bpf(COMMAND.mapDelete, mapElement, { fd: mapFd, key, value: null, flags: 0 })
  if (result !== -ENOENT) demand('cannot remove from a BPF map', result)
}

/**
 * Loads a traffic classifier (sched_cls). Returns its descriptor.
 * @throws DatapathError E_NO_BPF; when the verifier refused, the message ends with its log.
 */
export function loadClassifier(programName: string, code: Uint8Array): number {
  const spec = {
    type: BPF_PROG_TYPE_SCHED_CLS,
    instructions: code.length / SLOT_BYTES,
    code,
    license: 'Apache-2.0',
    logLevel: 0,
    logBytes: 0,
    log: null as Uint8Array | null,
    kernelVersion: 0,
    flags: 0,
    name: programName,
  }
  let result = -EAGAIN
  for (let attempt = 0; attempt < LOAD_ATTEMPTS && result === -EAGAIN; attempt++) {
    result = bpf(COMMAND.programLoad, programLoad, spec)
  }
  if (result >= 0) return result

  const log = Buffer.alloc(VERIFIER_LOG_BYTES)
  if (result !== -EPERM) bpf(COMMAND.programLoad, programLoad, { ...spec, logLevel: 1, logBytes: log.length, log })
  const words = log.toString('latin1', 0, log.indexOf(0)).trim()
  return demand(`cannot load the BPF program ${programName}`, result, words)
}

/** Result of the call, or -errno. */
function bpf(command: number, type: TypeObject, attributes: Record<string, unknown>): number {
  const number = SYSCALL_BY_ARCH[arch()]
  if (number === undefined) {
    throw new DatapathError(
      'E_NO_BPF',
      `BPF is not supported on ${arch()}`,
      'Use a host with an x64 or arm64 processor.',
    )
  }
  const result = syscall(number, command, koffi.as(attributes, koffi.pointer(type)), koffi.sizeof(type))
  return result < 0 ? -koffi.errno() : result
}

function demand(what: string, result: number, words = ''): number {
  if (result >= 0) return result
  throw new DatapathError(
    'E_NO_BPF',
    `${what}: ${getSystemErrorMessage(result)}${words === '' ? '' : `\n${words}`}`,
    'Give the daemon CAP_BPF and CAP_NET_ADMIN (before Linux 5.11 also an unlimited RLIMIT_MEMLOCK), on a kernel with ' +
      'CONFIG_BPF_SYSCALL.',
  )
}
