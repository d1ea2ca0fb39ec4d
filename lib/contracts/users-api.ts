import type { Backend } from './backend.js'
import type { EventName, PendingLogin, UsersHook } from './events.js'
import type { AnyReply, AnyRequest } from './instances.js'
import type { IssuedToken } from './strategy.js'
import type { NewUser, User, UserChanges, UserId, UserRow } from './user.js'

/** On whose behalf fields are written: decides which ones count. `code` writes all but `id`. */
export type Writer = 'self' | 'superuser' | 'code'

/** For calls that events are told of: the request, where there is one. */
export interface CallContext {
  request?: AnyRequest | null
  reply?: AnyReply | null
}
/** Who writes, and for which request. */
export interface WriteContext extends CallContext {
  by?: Writer
}
/** Which backend logs in, and how the user proved itself. */
export interface LoginContext extends CallContext {
  backend: string
  method?: string
}

/** What a login gives: a token that is not sent yet, or the step that is missing. */
export type LoginResult = { issued: IssuedToken; pending?: undefined } | { issued?: undefined; pending: PendingLogin }

/** `app.users`: the rules, for routes and for scripts. Every method throws errors with a `FST_USERS_…` code. */
export interface UsersApi {
  /** The user with this id, or null. */
  get(id: UserId): Promise<User | null>
  /** The user with this address in any case (ASCII letters), or null. */
  getByEmail(email: string): Promise<User | null>
  /**
   * Stores a user. Throws `FST_USERS_INVALID_USER`, `FST_USERS_REGISTER_INVALID_PASSWORD`,
   * `FST_USERS_REGISTER_USER_ALREADY_EXISTS`.
   */
  create(user: NewUser, context?: WriteContext): Promise<User>
  /**
   * Changes a user. A new password, a new e-mail, a deactivation and `is_verified: true` for an unverified e-mail end
   * all
   * sessions; the last also removes provider accounts that did not vouch for the e-mail. With `by: 'self'` or
   * `'superuser'`
   * and a request, the session behind the request must still be good when the change is written. Throws
   * `FST_USERS_LAST_SUPERUSER` if no active superuser would be left, `FST_USERS_NOT_FOUND`,
   * `FST_USERS_INVALID_USER`, `FST_USERS_UPDATE_USER_EMAIL_ALREADY_EXISTS`, `FST_USERS_UPDATE_USER_INVALID_PASSWORD`.
   */
  update(user: User | UserId, changes: UserChanges, context?: WriteContext): Promise<User>
  /**
   * Removes a user with its sessions. Throws `FST_USERS_NOT_FOUND`, and `FST_USERS_LAST_SUPERUSER` for the only active
   * superuser, also when code asks: make another one first.
   */
  delete(user: User | UserId, context?: WriteContext): Promise<void>
  /** The row of the user with this address and password, or null; costs the same for an unknown address. */
  checkCredentials(
    credentials: { username: string; password: string },
    context?: CallContext & { backend?: string }
  ): Promise<UserRow | null>
  /** Makes a verify token and fires `onAfterRequestVerify`; does nothing for unknown, inactive and verified users. */
  requestVerify(email: string, context?: CallContext): Promise<void>
  /**
   * Marks the e-mail of the token's user as verified, ends the sessions, and removes provider accounts that did not
   * vouch for
   * the e-mail. A cookie session of the same user on the request is renewed in the reply. Throws
   * `FST_USERS_VERIFY_USER_BAD_TOKEN`, `FST_USERS_VERIFY_USER_ALREADY_VERIFIED`.
   */
  verify(token: string, context?: CallContext): Promise<User>
  /**
   * For login methods of the application: records that the person behind the call has just proved the mailbox
   * `user.email`,
   * for example by a link that was mailed there. Has the consequences of `verify`, and removes the password of an
   * unverified
   * user, because anybody may have registered the e-mail. Does nothing for a verified user. Throws
   * `FST_USERS_NOT_FOUND`, and
   * `FST_USERS_VERIFY_USER_BAD_TOKEN` if the user is inactive or has another e-mail now.
   */
  confirmEmail(user: User, context?: CallContext): Promise<User>
  /** Makes a reset token and fires `onAfterForgotPassword`; does nothing for unknown and inactive users. */
  forgotPassword(email: string, context?: CallContext): Promise<void>
  /**
   * Sets a new password, ends all sessions and verifies the e-mail, which the token was mailed to. Throws
   * `FST_USERS_RESET_PASSWORD_BAD_TOKEN`, `FST_USERS_RESET_PASSWORD_INVALID_PASSWORD`.
   */
  resetPassword(token: string, password: string, context?: CallContext): Promise<User>
  /**
   * The one way to a session: checks the user's state, fires the login events, makes the token. The caller sends it. Of
   * a
   * row the session is bound to just that state, so that a password change meanwhile wins; a user is read again.
   * Throws `FST_USERS_LOGIN_BAD_CREDENTIALS`, `FST_USERS_LOGIN_USER_NOT_VERIFIED`, `FST_USERS_UNKNOWN_BACKEND`.
   */
  login(user: User | UserRow, context: LoginContext): Promise<LoginResult>
  /** Ends the session that authenticated the request. Throws `FST_USERS_UNAUTHENTICATED`. */
  logout(request: AnyRequest, reply?: AnyReply): Promise<void>
  /** Ends every session of the user on every backend. Throws `FST_USERS_SESSIONS_NOT_REVOCABLE`. */
  endSessions(user: User | UserId): Promise<void>
  /** Adds a listener; several per event run in the order they were added. Throws after `ready`. */
  addHook<N extends EventName>(name: N, hook: UsersHook<N>): void
  /**
   * Resolves when the work that runs after replies is done. For tests and shutdown: a handler that awaits it before its
   * own
   * reply may wait for itself.
   */
  settled(): Promise<void>
  /** The backends by name, in precedence order. */
  readonly backends: ReadonlyMap<string, Backend>
}
