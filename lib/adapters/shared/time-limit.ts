import { storeUnavailable } from '../../errors.js'
import { limitTime } from '../../shared/time-limit.js'
import { toStoreError } from './store-errors.js'

/**
 * Runs work on a database or Redis. Throws `FST_USERS_STORE_UNAVAILABLE` for its errors, and if it takes longer than
 * `timeoutMs` milliseconds. After a time-out the work continues and its result is ignored. Throws
 * `FST_USERS_INTERNAL_ERROR` for a programming error.
 */
export function withStoreTimeout<T> (work: () => Promise<T>, timeoutMs: number): Promise<T> {
  return limitTime(work, timeoutMs, () => noAnswer(timeoutMs), toStoreError)
}

/** Does the same as `withStoreTimeout`, but leaves errors of the work as they are. */
export function withTimeout<T> (work: () => Promise<T>, timeoutMs: number): Promise<T> {
  return limitTime(work, timeoutMs, () => noAnswer(timeoutMs))
}

function noAnswer (timeoutMs: number): Error {
  return storeUnavailable(`no answer within ${timeoutMs} ms`)
}
