import { availableParallelism } from 'node:os'
import { FST_USERS_INVALID_OPTION, FST_USERS_PASSWORD_QUEUE_FULL } from '../errors.js'

/** Limits of a hash queue. */
export interface HashQueueOptions {
  /**
   * How many hashes are computed at once. Default: the processors, but one thread of libuv's pool stays free for files
   * and DNS.
   */
  concurrency?: number
  /** How many wait at most. Default 256. */
  maxQueued?: number
  /** How long one waits at most, in milliseconds. Default 5000. */
  maxWaitMs?: number
}

/** Bounds how many hashes are computed at once. Both methods return the result of the work. */
export interface HashQueue {
  /**
   * Does the work when its turn comes. Throws `FST_USERS_PASSWORD_QUEUE_FULL` when too many wait or the turn does not
   * come in time.
   */
  run<T>(work: () => Promise<T>): Promise<T>
  /**
   * Does work that no reply waits for: one at a time, in addition to `concurrency`, and begun only while no other work
   * waits, so that it never delays a login. Throws `FST_USERS_PASSWORD_QUEUE_FULL` when 256 wait already.
   */
  runInBackground<T>(work: () => Promise<T>): Promise<T>
}

const MAX_TIMER_MS = 2 ** 31 - 1
const LIBUV_THREADS = '4'

// bounds the memory of waiting work
const MAX_BACKGROUND_QUEUED = 256

/**
 * Creates a first-in, first-out queue for work that occupies a thread and memory. Throws `FST_USERS_INVALID_OPTION`.
 */
export function createHashQueue (options: HashQueueOptions = {}): HashQueue {
  const { concurrency, maxQueued, maxWaitMs } = resolveOptions(options)
  const waiting = new Set<() => void>()
  const background = createBackgroundShare(() => waiting.size === 0, refuse)
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

  // hands the place to the next one directly, so that a newcomer cannot take it in between
  function passOn () {
    const [start] = waiting
    if (start === undefined) running--
    else start()
    background.begin()
  }

  return {
    async run (work) {
      if (running < concurrency) running++
      else if (waiting.size < maxQueued) await waitForTurn()
      else throw refuse()
      try {
        return await work()
      } finally {
        passOn()
      }
    },
    runInBackground: background.run
  }
}

/** Work that runs one at a time; the next one begins when `isFree` allows it. */
function createBackgroundShare (
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

/** Throws `FST_USERS_INVALID_OPTION` for a value that is not an integer between the two. */
export function checkInteger (name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw FST_USERS_INVALID_OPTION([name, `must be an integer from ${least} to ${most}.`])
  }
}

function resolveOptions (options: HashQueueOptions): Required<HashQueueOptions> {
  const { concurrency = defaultConcurrency(), maxQueued = 256, maxWaitMs = 5000 } = options
  checkInteger('concurrency', concurrency, 1, 1024)
  checkInteger('maxQueued', maxQueued, 0, Number.MAX_SAFE_INTEGER)
  checkInteger('maxWaitMs', maxWaitMs, 1, MAX_TIMER_MS)
  return { concurrency, maxQueued, maxWaitMs }
}

// libuv reads what is no number, and 0, as one thread
function defaultConcurrency (): number {
  const threads = Number.parseInt(process.env.UV_THREADPOOL_SIZE ?? LIBUV_THREADS, 10) || 1
  return Math.max(1, Math.min(availableParallelism(), threads - 1))
}
