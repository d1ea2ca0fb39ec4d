import { storeUnavailable } from '../../errors.js'
import { limitTime } from '../../shared/time-limit.js'
import { toStoreError } from './store-errors.js'

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
export function withTimeout<T> (work: () => Promise<T>, timeoutMs: number): Promise<T> {
  return limitTime(work, timeoutMs, () => storeUnavailable(`no answer within ${timeoutMs} ms`))
}
