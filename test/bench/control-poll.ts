/**
 * Asks a daemon for its members again and again, over one kept connection to its control socket: a connection for each
 * of some hundred questions a second would load the machine on which the answer is being timed.
 */
import { Agent, request } from 'node:http'
import type { PeerJson } from '../../node/control-api.ts'

const TIMEOUT_MS = 2_000

export class MemberPoll {
  readonly #socketPath: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })

  constructor(socketPath: string) {
    this.#socketPath = socketPath
  }

  async peers(): Promise<PeerJson[]> {
    return JSON.parse(await this.#get('/v1/peers')) as PeerJson[]
  }

  /** All metrics, in Prometheus' text format. */
  metrics(): Promise<string> {
    return this.#get('/metrics')
  }

  #get(path: string): Promise<string> {
    return new Promise<string>((resolve, reject) => {
      const options = { socketPath: this.#socketPath, path, agent: this.#agent, timeout: TIMEOUT_MS }
      const sent = request(options, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        response.once('end', () => resolve(text)).once('error', reject)
      })
      sent.once('timeout', () => sent.destroy(new Error(`${this.#socketPath} does not answer`)))
      sent.once('error', reject)
      sent.end()
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}
