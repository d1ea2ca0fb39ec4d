import type { EventContext } from './events.js'
import type { UserRow } from './user.js'

/**
 * What a client attempts. The built-in kinds have a hook, such as `onLoginAttempt`. A feature can use a kind of its
 * own, with a name that begins with the name of the feature. `secondFactor` is a code of a second factor outside of a
 * login, which has no hook: for the account, it counts together with answers to login steps.
 */
export type AttemptKind =
  | 'login'
  | 'loginStep'
  | 'secondFactor'
  | 'currentPassword'
  | 'register'
  | 'forgotPassword'
  | 'requestVerify'
  | 'resetPassword'
  | 'verify'
  | (string & {})

/** The payload of the events `onLoginAttempt`, `onRegisterAttempt` and so on. */
export interface AttemptEvent {
  /** The e-mail of the request in the form in which e-mails are compared; null if the request names none. */
  email: string | null
  /** IP address of the client: `request.ip`. Null for calls without a request. */
  ip: string | null
  /** The header `User-Agent`; null if it is absent. */
  userAgent: string | null
  /** Name of the backend of a login; otherwise null. */
  backend: string | null
  /**
   * Failed attempts of the account in a row, before this one. Null for kinds without an account, and if the counters
   * are off.
   */
  failures: number | null
}

/** The account and the client of an attempt. */
export interface AttemptSource {
  /**
   * The e-mail of the account, existing or not, in any spelling. A function is called after the client was counted: use
   * it if the account must be read first.
   */
  readonly email?: string | null | (() => Promise<string | null>)
  /** Name of the backend of a login. */
  readonly backend?: string | null
  /**
   * A kind of a feature that checks a code, which could be guessed: a failure counts for the account, as a wrong
   * password does. Successes and delays have a counter of their own, so that wrong passwords of a stranger do not block
   * the code. Default: false, only the client is counted.
   */
  readonly isCode?: boolean
  readonly context: EventContext
}

/** An attempt that has begun. It counts as failed until `succeeded` or `undo` is called. */
export interface Attempt {
  /** Reports a right password, code or answer: the attempt no longer counts as failed. */
  succeeded(): void
  /**
   * Reports a wrong password, code or answer. `row` is the user, or null for an unknown e-mail. After the last allowed
   * failure in a row, it fires `onAccountLocked`.
   */
  failed(row: UserRow | null): Promise<void>
  /** Reports that nothing was checked, for example because the store failed. The account does not count the attempt. */
  undo(): void
}

/** A check between the counters and the hooks of an attempt, such as a captcha. It throws to refuse the attempt. */
export type AttemptCheck = (
  kind: AttemptKind,
  event: Readonly<AttemptEvent>,
  context: EventContext
) => Promise<void> | void

/** A mail that a request causes. */
export interface RequestedMail {
  /** The kind of mail. Each kind has its own budget, so that one cannot use up that of another. */
  readonly purpose: 'reset' | 'verify' | 'register' | 'notice' | (string & {})
  /** The recipient. */
  readonly email: string
  /**
   * Seconds for which the mailed token is valid. If the previous mail of this kind to the recipient is older, this one
   * is sent also beyond the budget. Otherwise strangers could use the budget up and stop a reset.
   */
  readonly alwaysAfterSeconds?: number
}

/** Counts and refuses attempts to guess secrets, to create accounts and to cause mails. */
export interface Attempts {
  /**
   * Begins an attempt. Call it before the hash, the read or any other work. Order: counters, checks such as a captcha,
   * the hook of the kind. Throws `FST_USERS_TOO_MANY_ATTEMPTS`, `FST_USERS_STORE_UNAVAILABLE` if the counters cannot be
   * reached, and the errors of checks and hooks.
   */
  begin(kind: AttemptKind, source: AttemptSource): Promise<Attempt>
  /** Forgets the failures of an account after a completed login. It runs after the reply. */
  forget(email: string, context: EventContext): void
  /** Forgets the failures of an account, also those that disabled the password, after a reset by mail. */
  unlock(email: string): Promise<void>
  /**
   * Counts a mail that a request causes. Returns false if a limit of the recipient, or of all recipients together, is
   * reached. The caller then fires no event, and its reply stays the same.
   */
  allowMail(mail: RequestedMail): Promise<boolean>
  /** Checks that run between the counters and the hooks. */
  readonly checks: AttemptCheck[]
}
