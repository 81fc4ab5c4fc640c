/**
 * Writes log lines to a descriptor without waiting for whoever reads them: a pager that is paused or a collector that
 * hangs must not stop the daemon, whose peers would take it for dead. The descriptor does not block; what it does not
 * take waits in a bounded queue, what exceeds that is dropped, and one line says how many were. (Node's own stream for
 * a pipe queues without end and loses the queue at exit; writes by its thread pool keep the process from exiting.)
 */
import { writeSync } from 'node:fs'
import { errnoOf } from './errors.ts'

const QUEUE_BYTES_MAX = 1_048_576
/** After the reader had no room: asked again. */
const RETRY_MS = 20
/** How long the end of the process waits for a reader that is merely slow. */
const EXIT_WAIT_MS = 200

/** Takes whole lines, final newline included. */
export interface LineSink {
  write(line: string): void
}

export interface Output extends LineSink {
  /** For the process's `exit` event: writes what waits still, for a short while at most. */
  flushAtExit(): void
}

/**
 * @param descriptor one that does not block; a file or terminal that does is written to all the same
 * @param describeLoss makes the line that stands in for those which were dropped
 */
export function createOutput(descriptor: number, describeLoss: (lines: number) => string): Output {
  const queue: Buffer[] = []
  let queuedBytes = 0
  let lost = 0
  let isBroken = false
  let timer: NodeJS.Timeout | undefined

  const enqueue = (bytes: Buffer): void => {
    queue.push(bytes)
    queuedBytes += bytes.length
  }
  /** Writes until all is written or nothing more is taken; says whether anything is left. */
  const pump = (): 'done' | 'waiting' => {
    for (let head = queue[0]; head !== undefined; head = queue[0]) {
      const written = tryWrite(descriptor, head)
      if (written === 'no room') return 'waiting'
      if (written === 'broken') {
        // The reader is gone, or the disk is full: there is nobody to tell.
        isBroken = true
        queue.length = 0
        return 'done'
      }
      queuedBytes -= written
      if (written < head.length) queue[0] = head.subarray(written)
      else queue.shift()
      if (queue.length === 0 && lost > 0) {
        enqueue(Buffer.from(describeLoss(lost)))
        lost = 0
      }
    }
    return 'done'
  }
  const pumpLater = (): void => {
    timer = setTimeout(() => {
      timer = undefined
      if (pump() === 'waiting') pumpLater()
    }, RETRY_MS)
    // A reader that is stuck must not keep a process alive that has nothing else to do.
    timer.unref()
  }
  return {
    write(line) {
      const bytes = Buffer.from(line)
      if (isBroken) return
      if (queuedBytes + bytes.length > QUEUE_BYTES_MAX) {
        lost++
        return
      }
      enqueue(bytes)
      // While older lines wait, the timer sees to all of them: one attempt a line would be one too many.
      if (timer === undefined && pump() === 'waiting') pumpLater()
    },
    flushAtExit() {
      const clock = new Int32Array(new SharedArrayBuffer(4))
      const endMs = performance.now() + EXIT_WAIT_MS
      while (pump() === 'waiting' && performance.now() < endMs) Atomics.wait(clock, 0, 0, 1)
    },
  }
}

function tryWrite(descriptor: number, bytes: Buffer): number | 'no room' | 'broken' {
  try {
    return writeSync(descriptor, bytes)
  } catch (error) {
    return errnoOf(error) === 'EAGAIN' ? 'no room' : 'broken'
  }
}
