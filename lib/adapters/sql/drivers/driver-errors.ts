import { isUsersError, storeUnavailable } from '../../../errors.js'
import { connectionOptionError } from '../../shared/connection-errors.js'
import { isBug } from '../../shared/store-errors.js'

/** Returns whether a server that can serve refused. */
export type IsRefusal = (error: unknown) => boolean

/**
 * Runs work of an adapter that opens. Throws `FST_USERS_STORE_UNAVAILABLE` for a server that does not answer, or cannot
 * serve
 * now, and `FST_USERS_INVALID_OPTION` for one that knows no such database or user; other refusals stay as they are.
 */
export async function mapOpeningErrors<T> (isRefusal: IsRefusal, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw isUsersError(error) ? error : (connectionOptionError(error) ?? toDriverError(isRefusal, error))
  }
}

/**
 * Runs a statement. Throws `FST_USERS_STORE_UNAVAILABLE` for a server that is gone or cannot serve now; refusals stay
 * as they are.
 */
export async function mapStatementErrors<T> (isRefusal: IsRefusal, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw toDriverError(isRefusal, error)
  }
}

/** What is neither refused by the server, nor a missing password, nor a bug, is an error of the connection. */
function toDriverError (isRefusal: IsRefusal, error: unknown): unknown {
  const isKept = isUsersError(error) || isRefusal(error) || isBug(error) || connectionOptionError(error) !== undefined
  return isKept ? error : storeUnavailable(error)
}
