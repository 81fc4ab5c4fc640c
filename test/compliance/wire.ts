/** A wire in front of a TCP port on 127.0.0.1 that can be held without either end being told, as a cut is: nothing is lost, it is late. */
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

const HOST = '127.0.0.1'

export class Wire {
  readonly address: string
  readonly port: number
  readonly #server: Server
  readonly #sockets: Set<Socket>
  #held = false

  static async open(targetPort: number): Promise<Wire> {
    const sockets = new Set<Socket>()
    const state: { wire: Wire | undefined } = { wire: undefined }
    const server = createServer({ noDelay: true }, (near) => {
      const far = connect({ port: targetPort, host: HOST, noDelay: true })
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        sockets.add(from)
        if (state.wire?.isHeld === true) from.pause()
        from.on('data', (data) => to.write(data))
        from.on('error', () => undefined)
        from.on('close', () => {
          sockets.delete(from)
          // A reset cannot be held back, but it can be kept to oneself.
          if (state.wire?.isHeld === true) state.wire.afterRelease.push(() => to.destroy())
          else to.destroy()
        })
      }
    })
    await new Promise<void>((resolve) => server.listen(0, HOST, resolve))
    state.wire = new Wire(server, sockets)
    return state.wire
  }

  readonly afterRelease: (() => void)[] = []

  private constructor(server: Server, sockets: Set<Socket>) {
    this.#server = server
    this.#sockets = sockets
    this.port = (server.address() as AddressInfo).port
    this.address = `${HOST}:${this.port}`
  }

  get isHeld(): boolean {
    return this.#held
  }

  hold(): void {
    this.#held = true
    for (const socket of this.#sockets) socket.pause()
  }

  release(): void {
    this.#held = false
    for (const socket of this.#sockets) socket.resume()
    for (const run of this.afterRelease.splice(0)) run()
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }
}
