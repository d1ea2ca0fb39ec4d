import { FST_USERS_INVALID_OPTION } from '../errors.js'

const MAX_MS = 2_147_483_647 // the longest delay of `setTimeout`

/**
 * Runs work. Throws the error of `onTimeout` if it takes longer than `timeoutMs` milliseconds; then the work continues
 * and its result is ignored. `toError` converts errors of the work.
 */
export function limitTime<T> (
  work: () => Promise<T>,
  timeoutMs: number,
  onTimeout: () => Error,
  toError: (error: unknown) => unknown = (error) => error
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(onTimeout())
    }, timeoutMs)
    const fail = (error: unknown): void => {
      clearTimeout(timer)
      reject(toError(error))
    }
    try {
      Promise.resolve(work()).then((result) => {
        clearTimeout(timer)
        resolve(result)
      }, fail)
    } catch (error) {
      fail(error) // a client may throw synchronously
    }
  })
}

/** Returns a time limit in milliseconds. Throws `FST_USERS_INVALID_OPTION` if it is not a valid one. */
export function checkTimeLimit (option: string, timeoutMs: number): number {
  if (Number.isInteger(timeoutMs) && timeoutMs >= 1 && timeoutMs <= MAX_MS) return timeoutMs
  throw FST_USERS_INVALID_OPTION([option, `must be a whole number of milliseconds from 1 to ${MAX_MS}`])
}
