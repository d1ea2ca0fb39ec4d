import type { User } from '../contracts/user.js'
import { FST_USERS_UNAUTHENTICATED } from '../errors.js'

/** Returns the user of a guarded request. Throws `FST_USERS_UNAUTHENTICATED` if the request has no user. */
export function currentUser (request: { user: User | null }): User {
  if (request.user === null || request.user === undefined) throw FST_USERS_UNAUTHENTICATED()
  return request.user
}
