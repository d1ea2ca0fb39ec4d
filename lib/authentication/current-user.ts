import type { User } from '../contracts/user.js'
import { FST_USERS_UNAUTHENTICATED } from '../errors.js'

/** The user that `authenticate` found. Throws `FST_USERS_UNAUTHENTICATED` when there is none. */
export function currentUser (request: { user: User | null }): User {
  if (request.user === null || request.user === undefined) throw FST_USERS_UNAUTHENTICATED()
  return request.user
}
