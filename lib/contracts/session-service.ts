import type { FastifyRequest } from 'fastify'
import type { Authentication } from './authentication.js'
import type { MaybePromise } from './database-adapter.js'
import type { EventContext } from './events.js'
import type { Session, SessionValues } from './session.js'
import type { IssuedToken } from './strategy.js'
import type { User, UserRow } from './user.js'
import type { CallContext } from './users-api.js'

/** Sessions of one user: all, one, or all but one. */
export type SessionSelection = 'all' | { readonly id: string } | { readonly except: string }

/** A token with its session. */
export type IssuedSession = IssuedToken & { session: Session }

/** A session that was just created. Its token is not sent yet. */
export interface CreatedSession {
  readonly user: User
  /** Name of the backend. */
  readonly backend: string
  /** The token. An observer may set `refresh_token`, `expires_in` and `cookieSeconds`. */
  readonly issued: IssuedSession
  /** Security stamp of the user with which the session was created. */
  readonly stamp: string
  /** True if the session existed before and has only got another token. */
  readonly continues: boolean
  /** True if the user asked for a longer session at the login. */
  readonly isRemembered: boolean
  readonly context: EventContext
}

/** Functions of a feature that are called when sessions begin and end. */
export interface SessionObserver {
  /**
   * Called after a session is created, before its token is sent, for logins, renewed cookies and sessions that features
   * create. If it throws, the session is revoked again, and the request fails.
   */
  issued?(session: Session, created: CreatedSession): MaybePromise<void>
  /**
   * Called after sessions of a user were revoked: by a logout, by another login in the same browser, or for the user by
   * a change of the password, the e-mail or a flag, a verification, a deletion and `endSessions`. A session may be
   * reported more than once. Expired sessions are not reported. If it throws, the request fails after the revocation.
   */
  ended?(user: User, which: SessionSelection): MaybePromise<void>
  /**
   * Called for each valid token that a guard reads, before the flags of the guard. Returns false if the session has
   * ended according to the feature: the token is then refused. It runs with every guarded request, so it should return
   * without a promise. A thrown error refuses the request.
   */
  seen?(authentication: Authentication, request: FastifyRequest): MaybePromise<boolean>
  /** Returns at most 1000 sessions of a user that the feature stores, for `SessionService.list`. */
  list?(user: User): MaybePromise<readonly Session[]>
  /** Ends one session of a user that the feature stores, for `SessionService.end`. Returns false if it has none. */
  end?(user: User, id: string): MaybePromise<boolean>
}

/** Argument of `SessionService.create`. */
export interface SessionOptions extends Partial<SessionValues> {
  /** Name of the backend that creates the token. */
  readonly backend: string
  /** Id of a session that continues with a new token. Default: a new id. */
  readonly id?: string
  readonly request?: FastifyRequest | null
}

/** Creates, lists and revokes sessions. Part of the kit of features. */
export interface SessionService {
  /**
   * Creates a session without a login: login steps and hooks do not run, only observers. The values default to null
   * and empty. Throws `FST_USERS_UNAUTHENTICATED` if the user is inactive or has changed since the row was read, and
   * `FST_USERS_UNKNOWN_BACKEND`.
   */
  create(row: UserRow, options: SessionOptions): Promise<IssuedSession>
  /**
   * Revokes sessions of a user. Returns false if neither a strategy nor a feature stores a single session: the JWT
   * strategy stores none. With `jwtStrategy({ revocable })`, the tokens of the session end in any case. Throws like
   * `app.users.endSessions`.
   *
   * For all sessions but one, stored sessions are deleted. If a backend stores none, the user gets a new security
   * stamp, which ends the remaining session too; if it is the cookie session of `context.request`, the reply renews it.
   */
  end(user: User, which: SessionSelection, context?: CallContext): Promise<boolean>
  /** Returns at most 1000 sessions of each strategy and feature. The JWT strategy stores none. */
  list(user: User): Promise<Session[]>
}
