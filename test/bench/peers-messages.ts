/** What the benchmark of a node with 50 peers and its processes say to each other. */

export const HOST = '127.0.0.1'
/** As often as a daemon samples its load. */
export const LOAD_EVERY_MS = 100

export type ToHost =
  | { type: 'start'; firstIndex: number; count: number; clusterKey: string; seed: number | undefined }
  | { type: 'report' }

export type FromHost =
  | { type: 'started'; ports: number[] }
  | {
      type: 'report'
      /** Of that of its members that has the fewest. */
      fewestLinks: number
      /** Of that of its members that has the most. */
      connections: number
      framesSent: number
      framesReceived: number
      bytesSent: number
      bytesReceived: number
      /** Members in the views of its members that are not alive, added up. */
      notAlive: number
    }
