import { isUsersError, storeUnavailable } from '../../../errors.js'
import { connectionOptionError } from '../../shared/connection-errors.js'
import { isBug } from '../../shared/store-errors.js'

/** Returns true if the error is the refusal of a server that works, and not a lost connection or an overload. */
export type IsRefusal = (error: unknown) => boolean

/**
 * Runs work of an adapter's `open()`. Throws `FST_USERS_STORE_UNAVAILABLE` if the server does not answer or cannot
 * serve now, and `FST_USERS_INVALID_OPTION` for a wrong database, user or password. Other errors stay as they are.
 */
export async function mapOpeningErrors<T> (isRefusal: IsRefusal, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw isUsersError(error) ? error : (connectionOptionError(error) ?? toDriverError(isRefusal, error))
  }
}

/**
 * Runs a statement. Throws `FST_USERS_STORE_UNAVAILABLE` if the server cannot be reached or cannot serve now. Other
 * errors stay as they are.
 */
export async function mapStatementErrors<T> (isRefusal: IsRefusal, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw toDriverError(isRefusal, error)
  }
}

/**
 * Returns the error to throw. An error that is neither a refusal of the server, nor a missing password, nor a bug
 * concerns the connection.
 */
function toDriverError (isRefusal: IsRefusal, error: unknown): unknown {
  const isKept = isUsersError(error) || isRefusal(error) || isBug(error) || connectionOptionError(error) !== undefined
  return isKept ? error : storeUnavailable(error)
}
