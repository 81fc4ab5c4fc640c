/**
 * The demo: a newcomer watches a cluster balance itself and lose a host. One published address gets all requests; its
 * home redirects what is above the average; a host that serves but does not announce that address loses its network;
 * the site goes on. Everything shown is measured here, and every claim is checked.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { PeerJson } from '../node/control-api.ts'
import { demoClaims } from './demo-verdict.ts'
import type { Claim, DemoFacts } from './demo-verdict.ts'
import { diagram, frameBlock, frameLine, summary } from './demo-view.ts'
import type { Frame } from './demo-view.ts'
import { LabError } from './errors.ts'
import type { Lab } from './lab.ts'
import { add } from './load-report.ts'
import type { FlowsReport, LoadFailure, LoadLine, LoadSecond } from './load-report.ts'
import { startLoad } from './load-process.ts'
import type { LoadProcess } from './load-process.ts'
import { checkName } from './spec.ts'
import type { LabSpecOptions } from './spec.ts'
import { labProcesses, leftovers } from './teardown.ts'
import { labUp } from './up.ts'

const ENTRANCE = 'h1'
const VICTIM = 'h2'
/** Little's law: 100 requests/s × 0.5 s ≈ 50 active flows, one full host or a quarter of four. */
const FULL_AT = 50
const RATE = 100
const HOLD_MS = 500
/** Longer than SYN retransmissions after 1 and 3 s: an attempt that began during the detection may still succeed. */
const REQUEST_TIMEOUT_MS = 5_000
const CONNECTIONS = 20
/** Seconds of the two acts: slow start takes 10 s of the first; requests lost at the cut fail within the second. */
const BALANCE_S = 20
const AFTER_S = 15
const DETECTION_TIMEOUT_MS = 10_000
const TAKEOVER_TIMEOUT_MS = 15_000
const DETECTION_POLL_MS = 50

export interface DemoOptions {
  readonly name: string
  readonly datapath?: LabSpecOptions['datapath']
  /** Receives the text. `redraw`: a terminal on which a frame may be drawn over the last one. */
  readonly write: (text: string) => void
  readonly redraw: boolean
  /** Ends the demo early; it still cleans up. */
  readonly signal: AbortSignal
}

/**
 * Runs the whole story and cleans up, whatever happens.
 * @returns the claims; the demo succeeded if all held
 * @throws LabError, E_LAB_INTERRUPTED among others, when the story did not come to its end
 */
export async function runDemo(options: DemoOptions): Promise<Claim[]> {
  checkName(options.name)
  const say = (line: string) => options.write(`${line}\n`)
  say('DPR: four servers that are their own load balancer. No balancer in front, no leader.')
  const lab = await labUp({
    name: options.name,
    segments: 2,
    hostsPerSegment: 2,
    fullAt: FULL_AT,
    datapath: options.datapath,
    signal: options.signal,
    progress: (line) => say(`  ${line}`),
  })
  const story = new Story(lab, options)
  let facts: DemoFacts
  try {
    facts = await story.tell()
  } catch (cause) {
    if (!options.signal.aborted) throw cause
    throw new LabError('E_LAB_INTERRUPTED', 'interrupted', 'nothing is left of the lab', cause)
  } finally {
    await story.end()
    await removeAndVerify(lab, say)
  }
  const claims = demoClaims(facts)
  say('')
  for (const line of summary(facts, claims)) say(line)
  return claims
}

/** `down` checks as well; the demo looks again by itself, since a newcomer's machine is at stake. */
async function removeAndVerify(lab: Lab, say: (line: string) => void): Promise<void> {
  const processes = labProcesses(lab.name)
  await lab.down()
  const left = leftovers(lab.name, processes)
  if (left.length > 0) {
    throw new LabError('E_LAB_LEFTOVERS', `the demo left ${left.join(', ')}`, `run \`dpr lab down --name ${lab.name}\``)
  }
  say('  cleaned up: no namespace, process or file of the lab is left')
}

class Story {
  readonly #lab: Lab
  readonly #options: DemoOptions
  readonly #loads: LoadProcess[] = []
  readonly #failures: LoadFailure[] = []
  readonly #before: Record<string, number> = {}
  readonly #after: Record<string, number> = {}
  #act: 'balance' | 'detection' | 'detected' | 'after' | 'ended' = 'balance'
  #total: Record<string, number> = {}
  #afterSeconds = 0
  #second: LoadSecond | undefined
  #flows: FlowsReport | undefined
  #peers: PeerJson[] = []
  #drawnLines = 0

  constructor(lab: Lab, options: DemoOptions) {
    this.#lab = lab
    this.#options = options
  }

  async tell(): Promise<DemoFacts> {
    const entrance = this.#lab.host(ENTRANCE)
    const url = `http://${entrance.published[0]}/`
    this.#say('')
    for (const line of diagram(this.#lab.hosts, ENTRANCE)) this.#say(line)
    this.#say('')
    this.#say(`${RATE} requests/s, each held for ${HOLD_MS} ms on average, all to ${url}`)
    this.#startLoads(url)

    await this.#watch(BALANCE_S, `${ENTRANCE} keeps its share and redirects the rest`)
    const modes = Object.fromEntries(this.#peers.map((peer) => [peer.name, peer.mode]))

    this.#act = 'detection'
    this.#say('')
    this.#say(`${VICTIM} loses its network now, silently, while it serves.`)
    this.#drawnLines = 0
    const cutMs = Date.now()
    await this.#lab.killHost(VICTIM)
    const [detectedMs, takeoverMs] = await Promise.all([
      this.#detect(),
      this.#takeover(),
      this.#watch(AFTER_S, `${VICTIM} is gone, the site goes on`),
    ])
    this.#act = 'ended'
    const { counters } = await this.#lab.status(ENTRANCE)
    await this.end()
    this.#options.signal.throwIfAborted()
    return {
      entrance: ENTRANCE,
      victim: VICTIM,
      hosts: this.#lab.hosts.map((host) => host.name),
      rate: RATE,
      before: this.#before,
      after: this.#after,
      total: this.#total,
      afterSeconds: this.#afterSeconds,
      modes,
      redirected: counters.redirected,
      cutMs,
      detectedMs,
      failures: this.#failures,
      flows: this.#flows ?? noFlows(),
      takeoverMs,
    }
  }

  /** Ends the load generators, patiently at the end of the story and at once when it is cut short; idempotent. */
  async end(): Promise<void> {
    const patienceMs = this.#options.signal.aborted ? 200 : REQUEST_TIMEOUT_MS * 2
    await Promise.all(this.#loads.map((load) => load.stop(patienceMs)))
  }

  #startLoads(url: string): void {
    const onLine = (line: LoadLine) => this.#record(line)
    const common = ['--url', url, '--duration-s', '600', '--timeout-ms', String(REQUEST_TIMEOUT_MS)]
    const requests = ['open', '--rate', String(RATE), '--hold-ms', String(HOLD_MS), ...common]
    // Opened one by one while the load runs, so that they spread as the requests do.
    const flows = ['flows', '--connections', String(CONNECTIONS), '--open-every-ms', '400', ...common]
    this.#loads.push(startLoad(this.#lab, requests, onLine), startLoad(this.#lab, flows, onLine))
  }

  #record(line: LoadLine): void {
    switch (line.type) {
      case 'second': {
        this.#second = line
        // The second in which the detection falls belongs to neither act.
        if (this.#act === 'detected') {
          this.#act = 'after'
          break
        }
        if (this.#act === 'after') this.#afterSeconds += 1
        const counts = this.#act === 'balance' ? this.#before : this.#act === 'after' ? this.#after : undefined
        if (counts !== undefined) for (const [host, count] of Object.entries(line.byHost)) add(counts, host, count)
        break
      }
      case 'failure':
        this.#failures.push(line)
        break
      case 'flows':
      case 'flows-summary':
        this.#flows = line
        break
      case 'summary':
        this.#total = line.byHost
        break
      case 'answer':
        break
    }
  }

  /** Shows a frame a second. Fails if a load generator does. */
  async #watch(seconds: number, caption: string): Promise<void> {
    for (let i = 0; i < seconds; i++) {
      await Promise.race([this.#pause(1_000), ...this.#loads.map((load) => load.done.then(() => this.#pause(1_000)))])
      this.#peers = await this.#lab.peers(ENTRANCE).catch(() => this.#peers)
      this.#draw({
        second: this.#second?.second ?? 0,
        caption,
        hosts: this.#lab.hosts,
        peers: this.#peers,
        load: this.#second,
        flows: this.#flows,
      })
    }
  }

  #draw(frame: Frame): void {
    if (!this.#options.redraw) return this.#say(frameLine(frame))
    const lines = frameBlock(frame)
    const over = this.#drawnLines === 0 ? '' : `\u001B[${this.#drawnLines}A\u001B[J`
    this.#options.write(`${over}${lines.join('\n')}\n`)
    this.#drawnLines = lines.length
  }

  /** When each living host saw the victim dead. After the last one, the last act begins. */
  async #detect(): Promise<Record<string, number>> {
    const living = this.#lab.hosts.filter((host) => host.name !== VICTIM)
    const detectedMs: Record<string, number> = {}
    const deadline = performance.now() + DETECTION_TIMEOUT_MS
    while (Object.keys(detectedMs).length < living.length && performance.now() < deadline) {
      await Promise.all(
        living.map(async ({ name }) => {
          const peers = await this.#lab.peers(name).catch(() => [])
          if (peers.find((peer) => peer.name === VICTIM)?.status === 'dead') detectedMs[name] ??= Date.now()
        }),
      )
      await this.#pause(DETECTION_POLL_MS)
    }
    this.#act = 'detected'
    return detectedMs
  }

  /** When the victim's own published address answered again. */
  async #takeover(): Promise<number | undefined> {
    const missing = await this.#lab.waitAnswers(
      this.#lab.host(VICTIM).published,
      TAKEOVER_TIMEOUT_MS,
      this.#options.signal,
    )
    return missing === undefined ? Date.now() : undefined
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#options.signal })
  }

  #say(line: string): void {
    this.#options.write(`${line}\n`)
  }
}

function noFlows(): FlowsReport {
  return {
    type: 'flows-summary',
    second: 0,
    opened: 0,
    open: 0,
    byHost: {},
    broken: 0,
    brokenByHost: {},
    stalledByHost: {},
    corrupted: 0,
    verifiedBytes: 0,
    stallMsMax: 0,
  }
}
