import type { AccountExport } from './account-export.js'
import type { Backend } from './backend.js'
import type { EventName, PendingLogin, UsersHook } from './events.js'
import type { FeatureApi } from './feature.js'
import type { AnyReply, AnyRequest } from './instances.js'
import type { LoginAnswer, OfferedStep } from './login-step.js'
import type { TrustedDevice, UserSecondFactor } from './second-factors.js'
import type { SecurityProfile } from './security-profile.js'
import type { IssuedToken } from './strategy.js'
import type { NewUser, User, UserChanges, UserId, UserRow } from './user.js'

/** The author of a change: it decides which fields are written and which are ignored. `code` may write all but `id`. */
export type Writer = 'self' | 'superuser' | 'code'

/** The request and the reply that hooks receive, if the call belongs to a request. */
export interface CallContext {
  request?: AnyRequest | null
  reply?: AnyReply | null
}
/** The author of a change (default: `code`), and the request. */
export interface WriteContext extends CallContext {
  by?: Writer
}
/** The author of a new user, the request, and the transaction in which the user is stored. */
export interface CreateContext extends WriteContext {
  /**
   * A transaction of the application's client, if the adapter supports it: `kysely`, `drizzle` and `prisma`. The user
   * is stored when the application commits it, and hooks run before that.
   */
  transaction?: unknown
}
/** The backend of a login, and the method by which the user authenticated. Default method: `password`. */
export interface LoginContext extends CallContext {
  backend: string
  method?: string
  /** The user asked for a longer session. It has an effect if a feature such as `sessions()` allows it. */
  rememberMe?: boolean
}

/** The values with which a registration by mail is completed: a new user without the e-mail. */
export type RegistrationValues = Omit<NewUser, 'email'>

/** A login that waits for a further step: one that a hook asks for, or the steps of features. */
export interface LoginPending extends PendingLogin {
  /** The ticket for the answer, if features ask for the step. `code` is then `LOGIN_STEP_REQUIRED`. */
  readonly ticket?: string
  /** The steps that the user can choose from, if features ask for the step. */
  readonly steps?: readonly OfferedStep[]
}

/** Result of a login: the user and a token that is not sent yet, or a further step. */
export type LoginResult =
  | { issued: IssuedToken; user: User; pending?: undefined }
  | { issued?: undefined; user?: undefined; pending: LoginPending }

/** `app.users`: the service behind the routes, also for scripts. Its errors have an `FST_USERS_…` code. */
export interface UsersApi {
  /** Returns the user with this id, or null. */
  get(id: UserId): Promise<User | null>
  /** Returns the user with this e-mail, or null. The case of ASCII letters is ignored. */
  getByEmail(email: string): Promise<User | null>
  /**
   * Stores a user. If it throws in a transaction, the application must roll the transaction back. Throws
   * `FST_USERS_INVALID_USER`, `FST_USERS_REGISTER_INVALID_PASSWORD`, `FST_USERS_REGISTER_USER_ALREADY_EXISTS`, and
   * `FST_USERS_INVALID_OPTION` for a value that is not a transaction of the adapter's client.
   */
  create(user: NewUser, context?: CreateContext): Promise<User>
  /**
   * Changes a user. A new password, a new e-mail, a deactivation and `is_verified: true` for an unverified e-mail
   * revoke all sessions. The last one also deletes provider accounts that did not prove the e-mail. With `by: 'self'`
   * or `'superuser'` and a request, the session of the request must still be valid when the change is written. With
   * `sensitiveChanges: 'confirm'`, that session must be recent for a new password or e-mail and for a new superuser, or
   * `changes` must have the `current_password` of the user of the session. Throws `FST_USERS_LAST_SUPERUSER` if no
   * active superuser would be left, `FST_USERS_NOT_FOUND`, `FST_USERS_INVALID_USER`,
   * `FST_USERS_INSUFFICIENT_USER_AUTHENTICATION`, `FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD`,
   * `FST_USERS_UPDATE_USER_EMAIL_ALREADY_EXISTS`, `FST_USERS_UPDATE_USER_INVALID_PASSWORD`.
   */
  update(user: User | UserId, changes: UserChanges, context?: WriteContext): Promise<User>
  /**
   * Deletes a user and its sessions. Throws `FST_USERS_NOT_FOUND`, and `FST_USERS_LAST_SUPERUSER` for the only active
   * superuser, also if code calls it.
   */
  delete(user: User | UserId, context?: WriteContext): Promise<void>
  /**
   * Returns the data of an account that its owner may read: the profile, sessions, and the data of features. It
   * contains no hashes, digests, secrets and tokens. Throws `FST_USERS_NOT_FOUND`.
   */
  exportData(user: User | UserId): Promise<AccountExport>
  /** Returns the row of the user with this e-mail and password, or null. An unknown e-mail takes the same time. */
  checkCredentials(
    credentials: { username: string; password: string },
    context?: CallContext & { backend?: string }
  ): Promise<UserRow | null>
  /**
   * Begins a registration by mail. Creates a token and fires `onAfterRequestRegister`, or fires `onRegisterExisting` if
   * a user has the e-mail. Throws `FST_USERS_INVALID_USER`.
   */
  requestRegistration(email: string, context?: CallContext): Promise<void>
  /**
   * Completes a registration by mail: creates a user with the verified e-mail of the token. Throws
   * `FST_USERS_REGISTER_BAD_TOKEN`, `FST_USERS_REGISTER_INVALID_PASSWORD`, `FST_USERS_INVALID_USER`.
   */
  completeRegistration(token: string, values: RegistrationValues, context?: CallContext): Promise<User>
  /** Creates a verify token and fires `onAfterRequestVerify`. Does nothing for unknown, inactive and verified users. */
  requestVerify(email: string, context?: CallContext): Promise<void>
  /**
   * Marks the e-mail of the token's user as verified, revokes all sessions, and deletes provider accounts that did not
   * prove the e-mail. If the request has a cookie session of the same user, the reply renews it. Throws
   * `FST_USERS_VERIFY_USER_BAD_TOKEN`, `FST_USERS_VERIFY_USER_ALREADY_VERIFIED`.
   */
  verify(token: string, context?: CallContext): Promise<User>
  /**
   * Marks the e-mail as verified, for login methods of the application. Call it when the user has just proved the
   * mailbox `user.email`, for example with a link that was mailed there. It does what `verify` does, and it deletes the
   * password of an unverified user, because another person may have registered the e-mail. Does nothing for a verified
   * user. Throws `FST_USERS_NOT_FOUND`, and `FST_USERS_VERIFY_USER_BAD_TOKEN` if the user is inactive or has another
   * e-mail.
   */
  confirmEmail(user: User, context?: CallContext): Promise<User>
  /**
   * Undoes an e-mail change: restores the previous e-mail, revokes all sessions, makes the password unusable and sends
   * a reset token. Throws `FST_USERS_UNDO_EMAIL_CHANGE_BAD_TOKEN`, `FST_USERS_UNDO_EMAIL_CHANGE_EMAIL_TAKEN`.
   */
  undoEmailChange(token: string, context?: CallContext): Promise<User>
  /** Creates a reset token and fires `onAfterForgotPassword`. Does nothing for unknown and inactive users. */
  forgotPassword(email: string, context?: CallContext): Promise<void>
  /**
   * Sets a new password, revokes all sessions, and verifies the e-mail, because the token was mailed to it. Throws
   * `FST_USERS_RESET_PASSWORD_BAD_TOKEN`, `FST_USERS_RESET_PASSWORD_INVALID_PASSWORD`.
   */
  resetPassword(token: string, password: string, context?: CallContext): Promise<User>
  /**
   * Logs a user in: checks that the user is active and verified, fires the login events and creates the token, which
   * the caller sends. If features ask for a further step, returns a ticket for `resumeLogin` instead of a token. A
   * `UserRow` is not read again: if its password has changed meanwhile, the login fails. Throws
   * `FST_USERS_LOGIN_BAD_CREDENTIALS`, `FST_USERS_LOGIN_USER_NOT_VERIFIED`, `FST_USERS_UNKNOWN_BACKEND`.
   */
  login(user: User | UserRow, context: LoginContext): Promise<LoginResult>
  /**
   * Continues a pending login with the answer to one of its steps. Returns the token, which the caller sends, or the
   * next steps with a new ticket. The login of a cookie backend continues only with the request of the same browser.
   * Throws `FST_USERS_LOGIN_TICKET_INVALID`, the error of the step, `FST_USERS_UNKNOWN_BACKEND`.
   */
  resumeLogin(answer: LoginAnswer, context: Omit<LoginContext, 'method'>): Promise<LoginResult>
  /**
   * Renews the session of a request after its user has proved again who they are: with the password, and with a second
   * factor if the user has one. Returns the new token, which the caller sends, or the steps with a ticket: call it
   * again with the answer to one of them. The session of the request ends. Throws `FST_USERS_UNAUTHENTICATED`,
   * `FST_USERS_REAUTHENTICATE_BAD_PASSWORD`, and the errors of `resumeLogin`.
   */
  reauthenticate(
    proof: { password?: string } | LoginAnswer,
    context: { request: AnyRequest; reply?: AnyReply | null }
  ): Promise<LoginResult>
  /** Revokes the session that authenticated the request. Throws `FST_USERS_UNAUTHENTICATED`. */
  logout(request: AnyRequest, reply?: AnyReply): Promise<void>
  /** Revokes all sessions of the user on all backends. Throws `FST_USERS_SESSIONS_NOT_REVOCABLE`. */
  endSessions(user: User | UserId): Promise<void>
  /**
   * Returns the browsers in which the user skips the second factor, the newest first. `context.request` decides which
   * one is the current one. Throws `FST_USERS_NOT_FOUND`.
   */
  trustedDevices(user: User | UserId, context?: CallContext): Promise<readonly TrustedDevice[]>
  /**
   * Ends the trust in all browsers of the user, or in the one with this id. Returns the number of ended ones. Throws
   * `FST_USERS_NOT_FOUND` for an unknown user.
   */
  endTrustedDevices(user: User | UserId, id?: string, context?: CallContext): Promise<number>
  /** Returns the active second factors of the user, without secrets. Throws `FST_USERS_NOT_FOUND`. */
  secondFactors(user: User | UserId): Promise<readonly UserSecondFactor[]>
  /**
   * Removes the second factors of a user who has lost them: all, or those with the name `context.name`, such as `totp`.
   * The sessions and trusted devices of the user end, and the user is notified by mail. Returns the number of removed
   * factors. Throws `FST_USERS_NOT_FOUND`.
   */
  removeSecondFactors(user: User | UserId, context?: CallContext & { name?: string }): Promise<number>
  /** Adds a hook. Hooks of one event run in the order in which they were added. Throws after `ready`. */
  addHook<N extends EventName>(name: N, hook: UsersHook<N>): void
  /** Names of all events, those of features included. */
  readonly eventNames: readonly EventName[]
  /**
   * Resolves when all hooks and other work that run after replies are done, for tests and shutdown. Do not await it in
   * a handler before the reply: the handler might wait for itself.
   */
  settled(): Promise<void>
  /** Returns the functions of a feature, by the feature's name. Throws `FST_USERS_UNKNOWN_FEATURE`. */
  feature<N extends string>(name: N): FeatureApi<N>
  /**
   * Returns the effective security settings, without secrets, so that a test of the application can check them. Call it
   * when the application is ready.
   */
  securityProfile(): SecurityProfile
  /** The backends by name, in the order in which they are tried. */
  readonly backends: ReadonlyMap<string, Backend>
}
