import type { FastifyRequest } from 'fastify'
import type { MaybePromise } from './database-adapter.js'
import type { Session } from './session.js'
import type { User } from './user.js'

/** The authenticated user of a request, with the token and the backend that identified the user. */
export interface Authentication {
  readonly user: User
  /** The presented token. It is not enumerable: printing, serializing or copying the object omits it. */
  readonly token: string
  /** Name of the backend that accepted the token. */
  readonly backend: string
  /** The session of the token. It is decoded when it is read for the first time. It is not enumerable. */
  readonly session: Session
}

/**
 * The flags that features add to `authenticate`, with the types of their values. Features add members by interface
 * merging:
 *
 * @example
 * declare module 'fastify-users' {
 *   interface GuardFlags { scopes?: readonly string[] }
 * }
 */
export interface GuardFlags {}

/** Options of `authenticate`. */
export interface AuthenticateOptions extends GuardFlags {
  /** Requests that the guard would refuse pass with `request.user` null. Default: false. */
  optional?: boolean
  /** The user must be active; otherwise the reply is 401. Default: true. */
  active?: boolean
  /** The user must be verified; otherwise the reply is 403. Default: false. */
  verified?: boolean
  /** The user must be a superuser; otherwise the reply is 403. Default: false. */
  superuser?: boolean
  /**
   * True if the guard may use the user cache. With false, the guard reads the user and the session from the store.
   * Default: true.
   */
  cached?: boolean
  /**
   * Longest time since the user authenticated, in seconds; otherwise the reply is 401 with the code
   * `FST_USERS_INSUFFICIENT_USER_AUTHENTICATION` (RFC 9470), and the client calls the route `reauthenticate`.
   * Default: no limit.
   */
  fresh?: number
  /**
   * Number of different kinds of factors that the session must show, such as a password and a code; otherwise the reply
   * is the one of `fresh`. A passkey with user verification counts as two. Default: no requirement.
   */
  methods?: 1 | 2
  /**
   * Names of the accepted backends, or a function that returns them for a request. Default: all backends of the option
   * `backends`, and those of features that a flag of the guard adds.
   */
  backends?: readonly string[] | ((request: FastifyRequest) => MaybePromise<readonly string[]>)
}

/**
 * A flag that a feature adds to `authenticate`. It runs after the flags of the plugin, except `fresh` and `methods`,
 * have accepted the user.
 */
export interface GuardFlag<T = unknown> {
  /** Returns null for a valid value, otherwise the reason, with which the start or the request is refused. */
  check(value: unknown): string | null
  /**
   * Returns true if the request may pass. With false the reply is 403 `FST_USERS_FORBIDDEN`. An error is the reply;
   * with the guard option `optional`, the request passes without a user instead. A thrown error always refuses.
   */
  accepts(authentication: Authentication, value: T, request: FastifyRequest): MaybePromise<boolean | Error>
  /** Returns the scopes that the API document lists in the security requirement of the route. */
  scopes?(value: T): readonly string[]
}

/**
 * Returns the scopes of an authenticated request; `*` stands for all. Null: the request is not limited. A thrown error
 * refuses the request.
 */
export type ScopeSource = (
  authentication: Authentication,
  request: FastifyRequest
) => MaybePromise<readonly string[] | null>
