import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { CurrentPasswordBody } from '../../schemas/index.js'
import type { DatabaseAdapter, NewRow, Row } from './database-adapter.js'
import type { PurposeKey } from './definition.js'
import type { EventContext, EventName, PendingLogin, UsersEvents } from './events.js'
import type { Settings } from './settings.js'
import type { UserReader } from './strategy.js'
import type { User, UserId, UserRow } from './user.js'
import type { CallContext } from './users-api.js'

/**
 * Values of a user whom another service vouches for: no password, and custom fields as that service's profile gives
 * them.
 */
export interface ExternalUser {
  email: string
  is_verified: boolean
  [field: string]: unknown
}

/** Makes rows of a new user, as it was stored. It may be called again, and does nothing else. */
export type UserDependents = (user: UserRow) => readonly NewRow[]

/** A stored user, then the rows made of it. */
export type StoredUserRows = [user: UserRow, ...dependents: Row[]]

/**
 * Stores a new user and the rows made of it, in one step where the store can. Throws like `DatabaseAdapter.create` for
 * those.
 */
export type StoreUser = (dependents: UserDependents) => Promise<StoredUserRows>

/**
 * Removes what a feature keeps to log in as a user, and returns how much that was: `all` before the user is removed;
 * `unvouched` when the mailbox `user.email` has been proved, for everything that did not prove that mailbox itself.
 */
export type Removal = (user: User, which: 'all' | 'unvouched') => Promise<number>

/** What the plugin lends to the features that are registered after it. */
export interface FeatureHost {
  readonly settings: Settings
  readonly log: FastifyBaseLogger
  /** Models are defined before `ready`. */
  readonly store: DatabaseAdapter
  readonly rows: UserReader & {
    getByEmail(email: string): Promise<UserRow | null>
    toUser(row: UserRow): User
  }
  /** Keys for one purpose, made from the plugin's secrets (HKDF, RFC 5869): the first signs, all verify. */
  keysFor(purpose: string): readonly PurposeKey[]
  /** Makes a scope one of ours: parsers, validation, error replies, headers. */
  prepareScope(scope: FastifyInstance): void
  /** Calls the listeners of an event. */
  fire<N extends EventName>(name: N, payload: UsersEvents[N], context: EventContext): Promise<PendingLogin | null>
  /**
   * Makes a user who has no password that anybody knows. `link` stores it with what makes it reachable; when it gives
   * null
   * or throws after that, the user goes again. Order: form, onBeforeRegister, address, link, onAfterRegister. Null when
   * `link` gives null. Throws `FST_USERS_INVALID_USER`, `FST_USERS_REGISTER_USER_ALREADY_EXISTS`.
   */
  createExternal(
    values: ExternalUser,
    link: (store: StoreUser) => Promise<UserRow | null>,
    context: CallContext
  ): Promise<UserRow | null>
  /** Whether the user can log in with a password. */
  hasPassword(row: UserRow): boolean
  /**
   * Gives an unverified user to somebody who proved the mailbox: the e-mail is verified, and the password, all sessions
   * and
   * everything attached that did not vouch for the e-mail are removed. Returns null if the user is verified or changed
   * meanwhile.
   */
  reclaimUnverifiedUser(id: UserId, context: CallContext): Promise<UserRow | null>
  /**
   * Takes a user of `createExternal` back whose first login was refused, with everything attached. Fires
   * `onAfterDelete`.
   * A user that was changed meanwhile stays, with nothing attached.
   */
  deleteRefusedUser(row: UserRow, context: CallContext): Promise<void>
  /** Adds a function that removes what a feature keeps to log in as a user. */
  addRemoval(remove: Removal): void
  /** Removes everything that features keep to log in as a user. */
  removeAttached(user: User): Promise<void>
  /**
   * The row of the user that a request comes from, as long as its session lives. Throws `FST_USERS_UNAUTHENTICATED`.
   */
  readActingUser(request: FastifyRequest): Promise<UserRow>
  /**
   * Asks the user that a request comes from for the current password, where a change needs that (`sensitiveChanges:
   * 'confirm'`).
   * Throws `FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD`, `FST_USERS_UNAUTHENTICATED`.
   */
  requireCurrentPassword(request: FastifyRequest, body: CurrentPasswordBody | undefined): Promise<void>
  /** Ends the sessions of a user as far as the table and the strategies can. */
  revokeSessions(row: UserRow): Promise<void>
  /** Fills a property of the read schema in what routes reply with a user, where the application's schema has it. */
  addToReplies(property: string, read: (user: User) => Promise<unknown>): void
  /**
   * Runs work that no reply waits for: after this reply has been sent, or without one on the next turn of the event
   * loop.
   */
  background(work: () => Promise<unknown>, reply?: FastifyReply | null): void
}
