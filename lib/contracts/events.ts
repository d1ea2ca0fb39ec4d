import type { FastifyReply, FastifyRequest } from 'fastify'
import type { AttemptEvent } from './attempts.js'
import type { MaybePromise } from './database-adapter.js'
import type { Session } from './session.js'
import type { IssuedToken } from './strategy.js'
import type { NewUser, User, UserChanges } from './user.js'

/** The request and the reply of an event. Both are null if code calls `app.users` without a request. */
export interface EventContext {
  request: FastifyRequest | null
  reply: FastifyReply | null
  /** The transaction of a call of `app.users` that takes part in one. Hooks can write in it. */
  transaction?: unknown
}

/** The reason of a failed login. The reply is the same for the first three. */
export type LoginFailure =
  | 'UNKNOWN_USER'
  | 'WRONG_PASSWORD'
  | 'WRONG_CODE'
  | 'INACTIVE'
  | 'NOT_VERIFIED'
  | 'REFUSED'
  | 'STEP_FAILED'
  | 'WRONG_PASSKEY'

/** A further step that a login needs. The reply is 403 with `code` and `body` in its `detail`. */
export interface PendingLogin {
  code: string
  body?: Record<string, unknown>
}

/**
 * How another person used the e-mail of an existing user: by registering, by changing their own e-mail to it, or by a
 * first login through a provider.
 */
export type ExistingAttempt = 'register' | 'email-change' | 'provider-login'

/**
 * The payloads of all events. Passwords are masked, and users have no password hash. Features add their events by
 * interface merging.
 */
export interface UsersEvents {
  /** Before a password login is checked; throw to refuse. */
  onLoginAttempt: AttemptEvent
  /** Before the answer to a login step is checked; throw to refuse. */
  onLoginStepAttempt: AttemptEvent
  /** Before the current password of a sensitive change is checked; throw to refuse. */
  onCurrentPasswordAttempt: AttemptEvent
  /** Before a registration; throw to refuse. */
  onRegisterAttempt: AttemptEvent
  /** Before a reset token is requested; throw to refuse. */
  onForgotPasswordAttempt: AttemptEvent
  /** Before a verify token is requested; throw to refuse. */
  onRequestVerifyAttempt: AttemptEvent
  /** Before a reset token is checked; throw to refuse. */
  onResetPasswordAttempt: AttemptEvent
  /** Before a verify token is checked; throw to refuse. */
  onVerifyAttempt: AttemptEvent
  /** Before a user is stored; throw to refuse. */
  onBeforeRegister: { user: Omit<NewUser, 'password'> }
  onAfterRegister: { user: User }
  /**
   * Only with `registration: 'mail'`: a person wants to register with this e-mail, which no user has. `token` completes
   * the registration.
   */
  onAfterRequestRegister: { email: string; token: string }
  /**
   * Only with `registration: 'mail'` or `revealExistingAccounts: false`: another person tried to register with or
   * change to the e-mail of this user. The reply was the one for a new e-mail.
   */
  onRegisterExisting: { user: User; attempt: ExistingAttempt }
  /** Before changes are stored; throw to refuse. A changed password is masked. */
  onBeforeUpdate: { user: User; changes: UserChanges }
  onAfterUpdate: { user: User; changes: UserChanges }
  /** `email` is the recipient of the token: the user's e-mail, or the new one that the token verifies. */
  onAfterRequestVerify: { user: User; token: string; email: string }
  onAfterVerify: { user: User }
  /** A user asked for a new e-mail, and must prove it first. Tell the present e-mail, `user.email`. */
  onAfterRequestEmailChange: { user: User; newEmail: string }
  /**
   * After the e-mail of a user has changed. Tell `previousEmail`. `token` undoes the change. It is null if the undo is
   * off, if the previous e-mail was not verified, and if a superuser or code made the change.
   */
  onAfterEmailChange: { user: User; previousEmail: string; token: string | null }
  /** After the owner of the previous e-mail undid a change to `undoneEmail`. The user has the previous e-mail again. */
  onAfterUndoEmailChange: { user: User; undoneEmail: string }
  onAfterForgotPassword: { user: User; token: string }
  onAfterResetPassword: { user: User }
  /** After the password check, before the token exists; throw to refuse, return `{ pending }` for a further step. */
  onBeforeLogin: { user: User; backend: string; method: string }
  /** After the token is created, before it is sent. A hook may set `refresh_token` and `expires_in` of `issued`. */
  onIssueToken: { user: User; backend: string; issued: IssuedToken }
  onAfterLogin: { user: User; backend: string; method: string; session: Session }
  /** After a user has authenticated again. `session` is the new session. */
  onAfterReauthenticate: { user: User; backend: string; session: Session }
  /** After the reply to a login from a device that the user has not used before. */
  onNewDevice: { user: User; backend: string; method: string; ip: string | null; userAgent: string | null }
  /** After too many failed logins in a row: the password of the user is refused until it is reset by mail. */
  onAccountLocked: { user: User; failures: number }
  onLoginFailed: { username: string; user: User | null; backend: string | null; reason: LoginFailure }
  onAfterLogout: { user: User; backend: string; session: Session }
  /** Before a user is deleted; throw to refuse. */
  onBeforeDelete: { user: User }
  onAfterDelete: { user: User }
}

/** The names of all events. */

export type EventName = keyof UsersEvents
type Result<N extends EventName> = N extends 'onBeforeLogin' ? void | { pending: PendingLogin } : void

/** A hook function. Its arguments are the payload of the event, and the request with its reply. */
export type UsersHook<N extends EventName> = (payload: UsersEvents[N], context: EventContext) => MaybePromise<Result<N>>

/** The `hooks` option: one function per event. */
export type UsersHooks = { [N in EventName]?: UsersHook<N> }
