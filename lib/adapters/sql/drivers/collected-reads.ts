import type { SqlStatement } from './driver.js'

/** A read that waits for its row. */
export interface WaitingRead {
  readonly parameters: readonly unknown[]
  resolve(row: readonly unknown[] | undefined): void
  reject(error: unknown): void
}

/**
 * Returns a function that collects the reads of one turn of the event loop. `send` receives up to `limit` of them when
 * the turn ends, and answers them. If it throws an error, the unanswered ones fail with it. A read that begins later is
 * in a later batch, so its row is never older than its call: a revocation holds for all reads that begin after it.
 */
export function collectReads (
  send: (reads: readonly WaitingRead[]) => Promise<void>,
  limit: number
): SqlStatement['get'] {
  let waiting: WaitingRead[] = []

  function flush (): void {
    if (waiting.length === 0) return
    const reads = waiting
    waiting = []
    send(reads).catch((error: unknown) => {
      for (const read of reads) read.reject(error)
    })
  }

  return (parameters) =>
    new Promise((resolve, reject) => {
      const count = waiting.push({ parameters, resolve, reject })
      if (count === 1) setImmediate(flush)
      else if (count === limit) flush()
    })
}

/** Answers each read with a separate statement. */
export function answerAlone (reads: readonly WaitingRead[], readAlone: SqlStatement['get']): void {
  for (const { parameters, resolve, reject } of reads) {
    const read = async (): Promise<readonly unknown[] | undefined> => await readAlone(parameters)
    read().then(resolve, reject)
  }
}
