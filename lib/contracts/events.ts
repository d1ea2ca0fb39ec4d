import type { FastifyReply, FastifyRequest } from 'fastify'
import type { MaybePromise } from './database-adapter.js'
import type { IssuedToken } from './strategy.js'
import type { NewUser, User, UserChanges } from './user.js'

/** Where an event comes from; both are null when code calls `app.users` without a request. */
export interface EventContext {
  request: FastifyRequest | null
  reply: FastifyReply | null
}

/** Why a login failed. The reply tells the first three apart from nothing. */
export type LoginFailure = 'UNKNOWN_USER' | 'WRONG_PASSWORD' | 'INACTIVE' | 'NOT_VERIFIED' | 'REFUSED'

/** A further step that a login needs: the reply is 403 with this code, and `body` in its `detail`. */
export interface PendingLogin {
  code: string
  body?: Record<string, unknown>
}

/** An account of another service that a user logs in with, without that service's tokens. */
export interface LinkedAccount {
  id: string | number
  oauth_name: string
  account_id: string
  account_email: string
}

/**
 * How somebody used the e-mail of an existing user: at registration, in a change of the own e-mail, at the first login
 * through a provider.
 */
export type ExistingAttempt = 'register' | 'email-change' | 'provider-login'

/** The payload of every event. Passwords are masked; rows never come with the hash. */
export interface UsersEvents {
  /** Before a user is stored; throw to refuse. */
  onBeforeRegister: { user: Omit<NewUser, 'password'> }
  onAfterRegister: { user: User }
  /**
   * With `revealExistingAccounts: false`: somebody tried to register with, or change to, the e-mail of this user, and
   * got the reply for a new one.
   */
  onRegisterExisting: { user: User; attempt: ExistingAttempt }
  /** Before changes are stored; throw to refuse. A changed password is masked. */
  onBeforeUpdate: { user: User; changes: UserChanges }
  onAfterUpdate: { user: User; changes: UserChanges }
  /** `email` is where the token belongs: the user's address, or the new one that it is to prove. */
  onAfterRequestVerify: { user: User; token: string; email: string }
  onAfterVerify: { user: User }
  onAfterForgotPassword: { user: User; token: string }
  onAfterResetPassword: { user: User }
  /** After the password was right, before a session exists; throw to refuse, return `{ pending }` to ask for more. */
  onBeforeLogin: { user: User; backend: string; method: string }
  /** The token exists and is not sent yet; may set `refresh_token` and `expires_in`. */
  onIssueToken: { user: User; backend: string; issued: IssuedToken }
  onAfterLogin: { user: User; backend: string; method: string }
  onLoginFailed: { username: string; user: User | null; backend: string | null; reason: LoginFailure }
  onAfterLogout: { user: User; backend: string }
  /** An account of another service became a way to log in as this user; not fired for one that a new user came with. */
  onAfterLink: { user: User; account: LinkedAccount }
  onAfterUnlink: { user: User; account: LinkedAccount }
  /** Before a user is removed; throw to keep it. */
  onBeforeDelete: { user: User }
  onAfterDelete: { user: User }
}

/** The name of an event. */
export type EventName = keyof UsersEvents
type Result<N extends EventName> = N extends 'onBeforeLogin' ? void | { pending: PendingLogin } : void

/** A listener: one object with the event's data, then the request and reply. */
export type UsersHook<N extends EventName> = (payload: UsersEvents[N], context: EventContext) => MaybePromise<Result<N>>

/** The `hooks` option: one function per event. */
export type UsersHooks = { [N in EventName]?: UsersHook<N> }
