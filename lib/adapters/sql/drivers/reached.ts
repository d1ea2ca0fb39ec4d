import { isUsersError, storeUnavailable } from '../../../errors.js'
import { mistakeOf } from '../../shared/mistakes.js'

/** Makes of a server that does not answer, or cannot serve now, `FST_USERS_STORE_UNAVAILABLE`, and of one that knows no such database or user `FST_USERS_INVALID_OPTION`; what else it refuses stays as it is. */
export async function whenReached<T> (isRefusal: (error: unknown) => boolean, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw isUsersError(error) ? error : mistakeOf(error) ?? (isRefusal(error) ? error : storeUnavailable(error))
  }
}
