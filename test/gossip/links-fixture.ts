/** One node's links, in virtual time, with a network whose every dial and frame the test decides. */
import { lanConfig } from '../../gossip/config.ts'
import { Links } from '../../gossip/links.ts'
import type { DialFailure, DialOutcome, DialStage, Lane, Network, PeerConnection } from '../../gossip/network.ts'
import { VirtualClock } from './virtual-clock.ts'

export const SELF = 'm'
/** Ids below and above our own: who may dial first depends on that. */
export const LOWER = 'a'
export const HIGHER = 'z'
export const FRAME = new Uint8Array(100)

export interface Dial {
  address: string
  atMs: number
  /** Without an outcome. */
  isOpen: boolean
  done: (outcome: DialOutcome) => void
  progress: (stage: DialStage) => void
}

export class FakeConnection implements PeerConnection {
  readonly peer: string
  readonly address: string
  readonly direction: 'inbound' | 'outbound'
  readonly sent: { lane: Lane; frame: Uint8Array }[] = []
  /** Why we ended it. */
  ended: string | undefined

  constructor(peer: string, address: string, direction: 'inbound' | 'outbound') {
    this.peer = peer
    this.address = address
    this.direction = direction
  }

  send(lane: Lane, frame: Uint8Array): boolean {
    this.sent.push({ lane, frame })
    return true
  }

  abort(reason: string): void {
    this.ended ??= reason
  }
}

export let clock: VirtualClock
export let dials: Dial[]
export let told: string[]
export let links: Links
export let banned: Set<string>
export const config = lanConfig()

/** Anew for each test. */
export function makeLinks(): void {
  clock = new VirtualClock()
  dials = []
  told = []
  banned = new Set()
  const network: Network = {
    id: SELF,
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
    dial: (address, _timeoutMs, done, progress = () => undefined) => {
      dials.push({ address, done, progress, atMs: clock.now(), isOpen: true })
    },
  }
  const tell =
    (what: string) =>
    (id: string): void =>
      void told.push(`${what} ${id}`)
  links = new Links({
    network,
    config,
    now: () => clock.now(),
    random: () => 0.5,
    admits: (id) => !banned.has(id),
    events: {
      connected: tell('connected'),
      closed: tell('closed'),
      refused: tell('refused'),
      unreachable: tell('unreachable'),
      stranger: (address, reason) => void told.push(`stranger ${address}: ${reason}`),
      twin: tell('twin'),
    },
  })
}

/** Lets time pass, and the links act when they say they are due: never more often than that. */
export function pass(ms: number): void {
  const untilMs = clock.now() + ms
  for (let turns = 0; links.dueMs <= untilMs; turns++) {
    if (turns > 10_000) throw new Error('due again and again')
    clock.pass(Math.max(0, links.dueMs - clock.now()))
    links.sweep(clock.now())
  }
  clock.pass(untilMs - clock.now())
}

export const addressOf = (id: string): string => `10.0.0.${id.charCodeAt(0)}:7600`

export function meet(...ids: string[]): void {
  for (const id of ids) links.contacts.noteMember(id, addressOf(id), true)
  links.setNeighbours(ids)
}

export function succeed(dial: Dial, peer: string): FakeConnection {
  const connection = new FakeConnection(peer, dial.address, 'outbound')
  dial.isOpen = false
  dial.done({ ok: true, connection })
  return connection
}

export function fail(dial: Dial, failure: DialFailure): void {
  dial.isOpen = false
  dial.done({ ok: false, failure })
}

export function accept(peer: string): FakeConnection {
  const connection = new FakeConnection(peer, `${addressOf(peer).split(':')[0]}:40000`, 'inbound')
  links.opened(connection)
  return connection
}

export function close(connection: FakeConnection): void {
  connection.ended = 'by the peer'
  links.closed(connection)
}

/** A dialled link to a higher id, older than any question of who dialled first. */
export function settled(id = HIGHER): FakeConnection {
  meet(id)
  pass(0)
  const connection = succeed(dials.at(-1)!, id)
  pass(3_000)
  return connection
}

export const addresses = (): string[] => dials.map((dial) => dial.address)
