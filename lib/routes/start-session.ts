import type { Backend } from '../contracts/backend.js'
import type { IssuedToken } from '../contracts/strategy.js'
import type { UserRow } from '../contracts/user.js'
import type { UsersApi } from '../contracts/users-api.js'
import type { StartContext } from '../sessions/index.js'
import type { UsersService } from '../users/index.js'

/**
 * Creates a session for a user and revokes the sessions whose cookies the request presents. Throws the errors of
 * `login`, and `FST_USERS_LOGIN_PENDING` if the login needs another step.
 */
export function startSession (
  users: Pick<UsersApi, 'login'>,
  backend: Backend,
  row: UserRow,
  context: StartContext
): Promise<IssuedToken> {
  return (users as UsersService).startSession(backend, row, context) // `app.users` has the methods of the service
}
