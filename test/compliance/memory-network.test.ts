import { realClock } from '../../gossip/clock.ts'
import { MemoryNetwork, MemoryWorld } from './memory-network.ts'
import { networkCompliance } from './network-suite.ts'
import { realTime } from './real-time.ts'

networkCompliance('in memory', () => {
  const world = new MemoryWorld(realClock())
  let count = 0
  return {
    ...realTime,
    create: ({ key = '' } = {}) => {
      const number = ++count
      const address = `10.1.0.${number}:7600`
      return Promise.resolve({ network: new MemoryNetwork(world, `peer-${number}`, address, key), address })
    },
    cut: (a, b) => world.cut(a, b),
    heal: () => world.heal(),
    close: async () => {
      for (const network of world.listening.values()) await network.stop()
    },
  }
})
