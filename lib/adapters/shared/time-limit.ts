import { FST_USERS_INVALID_OPTION, storeUnavailable } from '../../errors.js'
import { toStoreError } from './store-errors.js'

const MAX_MS = 2_147_483_647 // what a timer can wait

/**
 * Runs work on a store. Throws `FST_USERS_STORE_UNAVAILABLE` for its error, and when it takes longer than that many
 * milliseconds; the work itself continues, and its result is dropped. Throws `FST_USERS_INTERNAL_ERROR` for a mistake
 * in code.
 */
export async function withStoreTimeout<T> (work: () => Promise<T>, timeoutMs: number): Promise<T> {
  try {
    return await withTimeout(work, timeoutMs)
  } catch (error) {
    throw toStoreError(error)
  }
}

/** Like `withStoreTimeout`, but the error of work that fails in time stays as it is. */
export async function withTimeout<T> (work: () => Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(storeUnavailable(`no answer within ${timeoutMs} ms`))
    }, timeoutMs)
  })
  const run = async (): Promise<T> => await work() // a client may throw at once
  return await Promise.race([run(), late]).finally(() => {
    clearTimeout(timer)
  })
}

/** The number of milliseconds, when it is one. Throws `FST_USERS_INVALID_OPTION` with the option's name. */
export function checkTimeLimit (option: string, timeoutMs: number): number {
  if (Number.isInteger(timeoutMs) && timeoutMs >= 1 && timeoutMs <= MAX_MS) return timeoutMs
  throw FST_USERS_INVALID_OPTION([option, 'must be a whole number of milliseconds above 0'])
}
