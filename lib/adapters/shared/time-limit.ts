import { FST_USERS_INVALID_OPTION, storeUnavailable } from '../../errors.js'
import { toStoreError } from './store-errors.js'

const MAX_MS = 2_147_483_647 // the longest delay of `setTimeout`

/**
 * Runs work on a database or Redis. Throws `FST_USERS_STORE_UNAVAILABLE` for its errors, and if it takes longer than
 * `timeoutMs` milliseconds. After a time-out the work continues and its result is ignored. Throws
 * `FST_USERS_INTERNAL_ERROR` for a programming error.
 */
export async function withStoreTimeout<T> (work: () => Promise<T>, timeoutMs: number): Promise<T> {
  try {
    return await withTimeout(work, timeoutMs)
  } catch (error) {
    throw toStoreError(error)
  }
}

/** Does the same as `withStoreTimeout`, but leaves errors of the work as they are. */
export async function withTimeout<T> (work: () => Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(storeUnavailable(`no answer within ${timeoutMs} ms`))
    }, timeoutMs)
  })
  const run = async (): Promise<T> => await work() // a client may throw synchronously
  return await Promise.race([run(), late]).finally(() => {
    clearTimeout(timer)
  })
}

/**
 * Returns a time limit in milliseconds. Throws `FST_USERS_INVALID_OPTION` with the option's name if it is not a valid
 * one.
 */
export function checkTimeLimit (option: string, timeoutMs: number): number {
  if (Number.isInteger(timeoutMs) && timeoutMs >= 1 && timeoutMs <= MAX_MS) return timeoutMs
  throw FST_USERS_INVALID_OPTION([option, `must be a whole number of milliseconds from 1 to ${MAX_MS}`])
}
