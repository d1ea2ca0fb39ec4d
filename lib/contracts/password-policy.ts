import type { FastifyBaseLogger } from 'fastify'
import type { MaybePromise } from './database-adapter.js'
import type { User } from './user.js'

/** The codes of the reasons for which `passwordPolicy()` refuses a password. */
export type PasswordReasonCode =
  | 'INVALID_TEXT'
  | 'TOO_SHORT'
  | 'EMAIL'
  | 'CONTEXT_WORD'
  | 'COMMON'
  | 'BREACHED'
  | 'TOO_WEAK'
  | 'REFUSED'

/** A reason for which a password is refused. The reply contains all reasons; none of them contains the password. */
export interface PasswordReason {
  /** Code for clients: a `PasswordReasonCode`, or a word of your own policy. */
  readonly code: string
  /** English text for users. */
  readonly message: string
  /** Values of the rule for texts in other languages, such as `minimumLength`. */
  readonly [value: string]: unknown
}

/** The objects that a password policy can use besides the password and the user. */
export interface PasswordContext {
  /** Logger of the request, or of the application if there is no request. */
  readonly log?: FastifyBaseLogger
}

/** The result of a password policy: a text, one reason or a list refuses the password; otherwise it is accepted. */
export type PasswordVerdict = string | PasswordReason | readonly PasswordReason[] | null | undefined | void

/**
 * The password policy. To refuse a password, it returns reasons or throws `FST_USERS_INVALID_PASSWORD(reason)`. `user`
 * is the stored user, or the body of the registration.
 */
export interface ValidatePassword {
  (password: string, user: User | { email: string }, context?: PasswordContext): MaybePromise<PasswordVerdict>
  /** Loads what the policy needs. The plugin calls it at the start; an error stops the start. */
  start?(): Promise<void>
  /** Describes the policy for `app.users.securityProfile()`. */
  readonly description?: PasswordPolicyDescription
}

/** The rules of a password policy, besides those for the e-mail and common passwords. */
export interface PasswordPolicyDescription {
  /** Minimum length in Unicode code points. */
  readonly minimumLength: number
  /** Number of words of the application that a password must not be. */
  readonly contextWords: number
  /** Passwords that are known from data breaches are refused. */
  readonly breached: boolean
  /** Passwords that are easy to guess are refused. */
  readonly strength: boolean
  /** The application has a rule of its own. */
  readonly ownRule: boolean
}

/** Finds out whether a password is known from a data breach. */
export interface BreachSource {
  /**
   * Returns true if a breach contains the password. If the source rejects, the password is accepted and a warning is
   * logged. `signal` aborts after `timeoutMs`.
   */
  isBreached(password: string, signal: AbortSignal): Promise<boolean>
  /** Time limit of one answer in milliseconds. Default 2000. */
  readonly timeoutMs?: number
}
