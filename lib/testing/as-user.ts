import { randomUUID } from 'node:crypto'
import type { BaseUser, NewUser, User } from '../contracts/user.js'
import type { AnyInstance } from '../contracts/instances.js'
import type { UsersService } from '../users/index.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'

/** Attributes of a new user. The defaults are a random e-mail and a random password. */
export type UserAttributes = Partial<NewUser>

/** Options of `asUser`. */
export interface AsUserOptions {
  /** Name of the backend that creates the session. Default: the first backend. */
  backend?: string
  /**
   * Methods of the session, such as `['password', 'otp']`. The session is then created as if the login steps were done:
   * no step and no hook of the login runs. Default: a login with the method `test`.
   */
  methods?: readonly string[]
}

/**
 * Creates a session without a password and returns the request headers for `app.inject`. Takes a stored user, or the
 * attributes of a user to create. Throws `FST_USERS_INVALID_OPTION` for a transport without `requestHeaders`, and if a
 * login step is pending.
 */
export async function asUser (
  app: AnyInstance,
  user: User | UserAttributes = {},
  { backend, methods }: AsUserOptions = {}
): Promise<Record<string, string>> {
  const [first = ''] = app.users.backends.keys()
  const name = backend ?? first
  const stored = isStored(user) ? user : await createUser(app, user)
  const issued = methods === undefined
    ? (await app.users.login(stored, { backend: name, method: 'test' })).issued
    : await (app.users as UsersService).createSession(stored, { backend: name, methods }) // the service has it
  const headers =
    issued === undefined ? undefined : app.users.backends.get(name)?.transport.requestHeaders?.(issued.token)
  if (headers === undefined) {
    throw FST_USERS_INVALID_OPTION([
      'backend',
      `the transport of "${name}" has no \`requestHeaders\`, or the login waits for another step; pass \`methods\` to skip the steps`
    ])
  }
  return headers
}

/** Creates a user with a random e-mail, a random password and the given attributes. */
export function createUser (app: AnyInstance, attributes: UserAttributes = {}): Promise<User> {
  return app.users.create({ email: `${randomUUID()}@users.example`, password: randomUUID(), ...attributes })
}

function isStored (user: User | UserAttributes): user is User {
  return (user as Partial<BaseUser>).id !== undefined
}
