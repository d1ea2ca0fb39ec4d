import { availableParallelism } from 'node:os'
import { FST_USERS_INVALID_OPTION, FST_USERS_PASSWORD_QUEUE_FULL } from '../errors.js'
import { secondsNow, traceHash, type HashTrace } from '../shared/tracing.js'

/** Limits of a hash queue. */
export interface HashQueueOptions {
  /**
   * Number of hashes that are computed at the same time. Default: the number of processors, but at most the threads of
   * libuv's pool less one, which stays free for files and DNS.
   */
  concurrency?: number
  /** Largest number of waiting hashes. Default 256. */
  maxQueued?: number
  /** Longest waiting time in milliseconds. Default 5000. */
  maxWaitMs?: number
}

/** Queue that limits the number of hashes computed at the same time. Both methods return the result of the work. */
export interface HashQueue {
  /**
   * Runs work when its turn comes. Throws `FST_USERS_PASSWORD_QUEUE_FULL` when the queue is full or the waiting time is
   * over.
   */
  run<T>(work: () => Promise<T>): Promise<T>
  /**
   * Runs work that no reply waits for, one at a time and in addition to `concurrency`. It starts only while the queue
   * of `run` is empty, so that it never delays a login. Throws `FST_USERS_PASSWORD_QUEUE_FULL` when 256 are waiting.
   */
  runInBackground<T>(work: () => Promise<T>): Promise<T>
}

const MAX_TIMER_MS = 2 ** 31 - 1
const LIBUV_THREADS = '4' // libuv's default for UV_THREADPOOL_SIZE

// limits the memory of waiting work
const MAX_BACKGROUND_QUEUED = 256

/**
 * Creates a first-in, first-out queue for work that needs a thread and memory. Throws `FST_USERS_INVALID_OPTION`.
 */
export function createHashQueue (options: HashQueueOptions = {}): HashQueue {
  const { concurrency, maxQueued, maxWaitMs } = resolveQueueOptions(options)
  const waiting = new Set<() => void>()
  const background = createBackgroundQueue(() => waiting.size === 0, refuse)
  let running = 0

  function refuse () {
    return FST_USERS_PASSWORD_QUEUE_FULL([], { headers: { 'retry-after': String(Math.ceil(maxWaitMs / 1000)) } })
  }

  function waitForTurn (): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.delete(start)
        reject(refuse())
      }, maxWaitMs).unref()
      function start () {
        clearTimeout(timer)
        waiting.delete(start)
        resolve()
      }
      waiting.add(start)
    })
  }

  // starts the next work directly, so that new work cannot take the free place first
  function startNext () {
    const [start] = waiting
    if (start === undefined) running--
    else start()
    background.begin()
  }

  async function runTraced<T> (work: () => Promise<T>, trace: HashTrace | null): Promise<T> {
    const queuedAt = trace === null ? 0 : secondsNow()
    if (running < concurrency) running++
    else if (waiting.size < maxQueued) await waitForTurn()
    else throw refuse()
    const begunAt = trace === null ? 0 : secondsNow()
    if (trace !== null) trace.waitSeconds = begunAt - queuedAt
    try {
      return await work()
    } finally {
      if (trace !== null) trace.workSeconds = secondsNow() - begunAt
      startNext()
    }
  }

  return {
    run: (work) => traceHash((trace) => runTraced(work, trace)),
    runInBackground: background.run
  }
}

/** Creates a queue that runs work one at a time. The next work starts when `isFree` returns true. */
function createBackgroundQueue (
  isFree: () => boolean,
  refuse: () => Error
): { run: HashQueue['runInBackground']; begin(): void } {
  const waiting: (() => void)[] = []
  let isRunning = false

  function begin () {
    if (isRunning || !isFree()) return
    const start = waiting.shift()
    if (start === undefined) return
    isRunning = true
    start()
  }

  return {
    begin,
    async run (work) {
      if (waiting.length >= MAX_BACKGROUND_QUEUED) throw refuse()
      await new Promise<void>((resolve) => {
        waiting.push(resolve)
        begin()
      })
      try {
        return await work()
      } finally {
        isRunning = false
        begin()
      }
    }
  }
}

/** Throws `FST_USERS_INVALID_OPTION` for a value that is not a whole number from `minimum` to `maximum`. */
export function checkInteger (name: string, value: number, minimum: number, maximum: number): void {
  if (!Number.isInteger(value) || value < minimum || value > maximum) {
    throw FST_USERS_INVALID_OPTION([name, `must be a whole number from ${minimum} to ${maximum}`])
  }
}

function resolveQueueOptions (options: HashQueueOptions): Required<HashQueueOptions> {
  const { concurrency = defaultConcurrency(), maxQueued = 256, maxWaitMs = 5000 } = options
  checkInteger('concurrency', concurrency, 1, 1024)
  checkInteger('maxQueued', maxQueued, 0, Number.MAX_SAFE_INTEGER)
  checkInteger('maxWaitMs', maxWaitMs, 1, MAX_TIMER_MS)
  return { concurrency, maxQueued, maxWaitMs }
}

// libuv uses one thread if UV_THREADPOOL_SIZE is 0 or not a number
function defaultConcurrency (): number {
  const threads = Number.parseInt(process.env.UV_THREADPOOL_SIZE ?? LIBUV_THREADS, 10) || 1
  return Math.max(1, Math.min(availableParallelism(), threads - 1))
}
