import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { CurrentPasswordBody } from '../../schemas/index.js'
import type { DatabaseAdapter, NewRow, Row } from './database-adapter.js'
import type { PurposeKey } from './definition.js'
import type { ErrorDefinitions } from './errors.js'
import type { EventContext, EventName, PendingLogin, UsersEvents } from './events.js'
import type { Settings } from './settings.js'
import type { UserReader } from './strategy.js'
import type { User, UserId, UserRow } from './user.js'
import type { CallContext } from './users-api.js'

/**
 * Values of a user who registers through a provider: without a password, with custom fields from the provider's
 * profile.
 */
export interface ExternalUser {
  email: string
  is_verified: boolean
  [field: string]: unknown
}

/** A stored user, followed by its dependent rows. */
export type StoredUserRows = [user: UserRow, ...dependents: Row[]]

/** The rows that are stored together with a new user, whose id is `idOf(0)` in them. */
export interface UserDependents {
  readonly rows: readonly NewRow[]
  /** Rows for an existing table whose columns are too narrow for `rows`. */
  readonly shorter?: readonly NewRow[] | undefined
}

/**
 * Deletes the login methods that a feature stores for a user, such as provider accounts, and returns their number.
 * `all` is used before the user is deleted. `unvouched` is used after the user proved the mailbox `user.email`: it
 * deletes the methods that did not prove this mailbox themselves.
 */
export type Removal = (user: User, which: 'all' | 'unvouched') => Promise<number>

/** The services that the plugin offers to features, which are registered after it. */
export interface FeatureHost {
  readonly settings: Settings
  readonly log: FastifyBaseLogger
  /** The store. Features add their models before `ready`. */
  readonly store: DatabaseAdapter
  readonly rows: UserReader & {
    getByEmail(email: string): Promise<UserRow | null>
    toUser(row: UserRow): User
  }
  /** Returns keys for one purpose, derived from the plugin's secrets (HKDF, RFC 5869). The first signs; all verify. */
  keysFor(purpose: string): readonly PurposeKey[]
  /** Adds the plugin's body parsers, validation, error replies and headers to a scope. */
  prepareScope(scope: FastifyInstance): void
  /** Runs the hooks of an event. */
  fire<N extends EventName>(name: N, payload: UsersEvents[N], context: EventContext): Promise<PendingLogin | null>
  /**
   * Creates a user without a password and stores the dependent rows with it, for example a provider account. Returns
   * null, and stores nothing, if one of these rows exists already. Order: validation, `onBeforeRegister`, check for a
   * duplicate e-mail, insert, `onAfterRegister`. Throws `FST_USERS_INVALID_USER` and
   * `FST_USERS_REGISTER_USER_ALREADY_EXISTS`.
   */
  createExternal(
    values: ExternalUser,
    dependents: UserDependents,
    context: CallContext
  ): Promise<StoredUserRows | null>
  /** Returns true if the user can log in with a password. */
  hasPassword(row: UserRow): boolean
  /**
   * Hands an unverified user over to the person who proved the mailbox. The e-mail becomes verified. The password, all
   * sessions and all login methods that did not prove the e-mail are deleted. Returns null if the user is verified
   * already or has changed meanwhile.
   */
  reclaimUnverifiedUser(id: UserId, context: CallContext): Promise<UserRow | null>
  /**
   * Deletes a user of `createExternal` whose first login was refused, with its login methods. Fires `onAfterDelete`. If
   * the user has changed meanwhile, only the login methods are deleted.
   */
  deleteRefusedUser(row: UserRow, context: CallContext): Promise<void>
  /** Adds the errors of a feature, so that its routes can document them. */
  addErrors(errors: ErrorDefinitions): void
  /** Adds a function that deletes the login methods that a feature stores for a user. */
  addRemoval(remove: Removal): void
  /** Deletes all login methods that features store for a user. */
  removeAttached(user: User): Promise<void>
  /**
   * Reads the session of a request again and returns its user. Throws `FST_USERS_UNAUTHENTICATED` if it has ended.
   */
  readActingUser(request: FastifyRequest): Promise<UserRow>
  /**
   * Checks the current password in the body of a sensitive change. Does nothing unless `sensitiveChanges` is `confirm`.
   * Throws `FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD` and `FST_USERS_UNAUTHENTICATED`.
   */
  requireCurrentPassword(request: FastifyRequest, body: CurrentPasswordBody | undefined): Promise<void>
  /** Revokes the sessions of a user, as far as the user table and the strategies support it. */
  revokeSessions(row: UserRow): Promise<void>
  /** Adds a property to the users in replies of routes, if the application's read schema has this property. */
  addToReplies(property: string, read: (user: User) => Promise<unknown>): void
  /**
   * Runs work in the background: after `reply` has been sent or, without a reply, in the next turn of the event loop.
   */
  background(work: () => Promise<unknown>, reply?: FastifyReply | null): void
}
