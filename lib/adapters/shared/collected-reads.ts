/** A read that waits for its result. */
export interface WaitingRead<Key, Result> {
  readonly key: Key
  resolve(result: Result): void
  reject(error: unknown): void
}

/**
 * Returns a function that collects the reads of one turn of the event loop. `send` receives up to `limit` of them when
 * the turn ends, and answers them. If it throws an error, the unanswered ones fail with it. A read that begins later is
 * in a later batch, so its result is never older than its call: a revocation holds for all reads that begin after it.
 */
export function collectReads<Key, Result> (
  send: (reads: readonly WaitingRead<Key, Result>[]) => Promise<void>,
  limit: number
): (key: Key) => Promise<Result> {
  let waiting: WaitingRead<Key, Result>[] = []

  function flush (): void {
    if (waiting.length === 0) return
    const reads = waiting
    waiting = []
    send(reads).catch((error: unknown) => {
      for (const read of reads) read.reject(error)
    })
  }

  return (key) =>
    new Promise((resolve, reject) => {
      const count = waiting.push({ key, resolve, reject })
      if (count === 1) setImmediate(flush)
      else if (count === limit) flush()
    })
}

/** Answers each read separately. */
export function answerAlone<Key, Result> (
  reads: readonly WaitingRead<Key, Result>[],
  readAlone: (key: Key) => Result | Promise<Result>
): void {
  for (const { key, resolve, reject } of reads) {
    const read = async (): Promise<Result> => await readAlone(key)
    read().then(resolve, reject)
  }
}
