import { isUsersError, storeUnavailable } from '../../../errors.js'

/** Makes of a server that does not answer, or cannot serve now, `FST_USERS_STORE_UNAVAILABLE`; what it refuses stays as it is. */
export async function whenReached<T> (isRefusal: (error: unknown) => boolean, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw isUsersError(error) || isRefusal(error) ? error : storeUnavailable(error)
  }
}
