import { randomUUID } from 'node:crypto'
import type { BaseUser, NewUser, User } from '../contracts/user.js'
import type { AnyInstance } from '../contracts/instances.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'

/** Attributes of a user that a test makes up; address and password have defaults of their own. */
export type UserAttributes = Partial<NewUser>

/** Where the session comes from. */
export interface AsUserOptions {
  /** Name of the backend (the first one). */
  backend?: string
}

/**
 * Headers with which `app.inject` acts as a user: one that exists, or a new one with the attributes given. Logs in
 * through
 * `app.users.login`, without a password. Throws `FST_USERS_INVALID_OPTION` for a transport without `requestHeaders`.
 */
export async function asUser (
  app: AnyInstance,
  user: User | UserAttributes = {},
  { backend }: AsUserOptions = {}
): Promise<Record<string, string>> {
  const [first = ''] = app.users.backends.keys()
  const name = backend ?? first
  const known = isStored(user) ? user : await createUser(app, user)
  const { issued } = await app.users.login(known, { backend: name, method: 'test' })
  const headers =
    issued === undefined ? undefined : app.users.backends.get(name)?.transport.requestHeaders?.(issued.token)
  if (headers === undefined) {
    throw FST_USERS_INVALID_OPTION(['backend', `"${name}" gives no request headers, or the login is pending`])
  }
  return headers
}

/** Stores a user for a test: a random address, a random password, and the attributes given. */
export function createUser (app: AnyInstance, attributes: UserAttributes = {}): Promise<User> {
  return app.users.create({ email: `${randomUUID()}@users.example`, password: randomUUID(), ...attributes })
}

function isStored (user: User | UserAttributes): user is User {
  return (user as Partial<BaseUser>).id !== undefined
}
