import { availableParallelism } from 'node:os'
import { FST_USERS_INVALID_OPTION, FST_USERS_PASSWORD_QUEUE_FULL } from '../errors.js'

/** Limits of a hash queue. */
export interface HashQueueOptions {
  /** How many hashes are computed at once. Default: the processors, but one thread of libuv's pool stays free for files and DNS. */
  concurrency?: number
  /** How many wait at most. Default 256. */
  maxQueued?: number
  /** How long one waits at most, in milliseconds. Default 5000. */
  maxWaitMs?: number
}

/** Does the work when its turn comes and gives its result. Throws `FST_USERS_PASSWORD_QUEUE_FULL` when too many wait or its turn does not come in time. */
export type HashQueue = <T>(work: () => Promise<T>) => Promise<T>

const MAX_TIMER_MS = 2 ** 31 - 1
const LIBUV_THREADS = '4'

/** Makes a first-in, first-out queue for work that occupies a thread and memory. Throws `FST_USERS_INVALID_OPTION`. */
export function createHashQueue (options: HashQueueOptions = {}): HashQueue {
  const { concurrency, maxQueued, maxWaitMs } = resolveOptions(options)
  const waiting = new Set<() => void>()
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

  // the place passes from one to the next without being given up, so that a newcomer cannot take it in between
  function passOn () {
    const [start] = waiting
    if (start === undefined) running--
    else start()
  }

  return async (work) => {
    if (running < concurrency) running++
    else if (waiting.size < maxQueued) await waitForTurn()
    else throw refuse()
    try {
      return await work()
    } finally {
      passOn()
    }
  }
}

/** Throws `FST_USERS_INVALID_OPTION` for what is no integer between the two. */
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
