/** The network seam over real libp2p on 127.0.0.1, where a cut is a wire between two nodes that holds everything back. */
import { generateClusterKey } from '../../gossip/cluster-key.ts'
import { Libp2pNetwork } from '../../gossip/libp2p-network.ts'
import { freePort } from './free-port.ts'
import { networkCompliance } from './network-suite.ts'
import { realTime } from './real-time.ts'
import { Wire } from './wire.ts'

const HOST = '127.0.0.1'

networkCompliance('libp2p', () => {
  const keys = new Map<string, Uint8Array>()
  const networks: Libp2pNetwork[] = []
  const wires = new Map<string, Wire>()
  const keyOf = (name: string): Uint8Array => {
    const key = keys.get(name) ?? Buffer.from(generateClusterKey())
    keys.set(name, key)
    return key
  }
  return {
    ...realTime,
    create: async ({ key = '', cuttable = false } = {}) => {
      const port = await freePort()
      const network = await Libp2pNetwork.create({
        clusterKeys: [keyOf(key)],
        listen: { address: HOST, port },
        connectionsMax: 64,
        handshakeMs: 2_000,
        frameBytesMax: 131_072,
      })
      networks.push(network)
      if (!cuttable) return { network, address: `${HOST}:${port}` }
      const wire = await Wire.open(port)
      wires.set(wire.address, wire)
      return { network, address: wire.address }
    },
    cut: (a, b) => {
      for (const address of [a, b]) wires.get(address)?.hold()
    },
    heal: () => {
      for (const wire of wires.values()) wire.release()
    },
    close: async () => {
      for (const network of networks) await network.stop()
      for (const wire of wires.values()) wire.close()
    },
  }
})
