import type { MaybePromise } from './database-adapter.js'
import type { LoginAttempt } from './login-step.js'
import type { User, UserRow } from './user.js'
import type { CallContext } from './users-api.js'

/** A second factor that a feature stores for users, such as the secrets of an authenticator app. */
export interface SecondFactor {
  /** Unique name, such as `totp`. Lower-case letters, digits, `-` and `_`. */
  readonly name: string
  /**
   * Names in `session.methods` that prove this factor, in addition to `otp`, `recovery-code`, `passkey` and
   * `passkey-presence`, which the core knows. Default: none.
   */
  readonly methods?: readonly string[]
  /** Returns the number of active factors of the user, without recovery codes and unconfirmed factors. */
  count(user: User): MaybePromise<number>
  /** Returns descriptions of the active factors of the user for superusers, without secrets. Default: their number. */
  list?(user: User): MaybePromise<readonly FactorDescription[]>
  /**
   * Deletes all factors of the user, also those that are not confirmed. With `since`, those that were added before it
   * stay; a feature that does not know the times deletes all. Returns the number of deleted active ones.
   */
  removeAll(user: User, since?: Date): MaybePromise<number>
}

/** The description of a second factor of a user. */
export interface FactorDescription {
  /** Name that the user chose; null if there is none. */
  readonly label: string | null
  /** Null if the time is unknown. */
  readonly createdAt: Date | null
  readonly lastUsedAt: Date | null
}

/** A second factor of a user. */
export interface UserSecondFactor extends FactorDescription {
  /** Name of the kind of factor, such as `totp`. */
  readonly name: string
}

/** A login for which the option `secondFactors.required` decides. */
export interface FactorPolicyLogin {
  /** The user who logs in. */
  readonly user: User
  /** Name of the backend that will create the session. */
  readonly backend: string
}

/** Options of second factors. */
export interface SecondFactorOptions {
  /**
   * Returns true if the login must present a second factor. Users who have none then add one during the login. Users
   * who have one must present it in any case. Default: no login requires one.
   */
  required?: (login: FactorPolicyLogin) => MaybePromise<boolean>
  /**
   * Users can skip the second factor in browsers that they trust. `{}` switches it on. Only backends with cookies have
   * trusted devices. Default: false.
   */
  trustedDevices?: false | TrustedDeviceOptions
}

/** Options of trusted devices. */
export interface TrustedDeviceOptions {
  /** Seconds after which a browser must present the second factor again, at most 90 days. Default: 30 days. */
  lifetimeSeconds?: number
  /** Number of trusted devices per user, at most 100. Another one replaces the oldest. Default: 10. */
  maxPerUser?: number
  /** Returns false for logins that must always present the second factor. Default: every user can trust browsers. */
  allowed?: (login: FactorPolicyLogin) => MaybePromise<boolean>
}

/** A browser that skips the second factor of a user. */
export interface TrustedDevice {
  readonly id: string
  readonly createdAt: Date
  /** Time of the last login from the browser. */
  readonly lastUsedAt: Date
  readonly expiresAt: Date
  /** The header `User-Agent` of the login that trusted the browser. */
  readonly userAgent: string | null
  /** True for the browser of the request. */
  readonly isCurrent: boolean
}

/** The checked option `secondFactors`. */
export interface SecondFactorSettings {
  /** Null if no login requires a second factor. */
  readonly required: ((login: FactorPolicyLogin) => MaybePromise<boolean>) | null
  /** Null if no browser skips the second factor. */
  readonly trustedDevices: {
    readonly lifetimeSeconds: number
    readonly maxPerUser: number
    /** Null if every user can trust browsers. */
    readonly allowed: ((login: FactorPolicyLogin) => MaybePromise<boolean>) | null
  } | null
}

/** Name of the group of the login steps that present or add a second factor. */
export const SECOND_FACTOR_GROUP = 'second-factor'

/** Argument of `SecondFactorService.changed`. Without the request of the user, all sessions end. */
export type SecondFactorChange = ChangedFactor & (
  /**
   * `remove` deletes the factor. It is called with the present row between two revocations of the sessions: the first
   * ends those that are older, the second those that the factor opens meanwhile. Without it, the factor must have been
   * deleted before.
   */
  | { readonly change: 'removed'; remove?(row: UserRow): MaybePromise<unknown>; readonly undo?: undefined }
  /**
   * `undo` deletes the added factor. It is called if the sessions of the user were revoked meanwhile, and if anything
   * fails.
   */
  | { readonly change: 'added'; undo(): MaybePromise<unknown>; readonly remove?: undefined }
)

/** The common values of a `SecondFactorChange`. */
export interface ChangedFactor extends CallContext {
  /** Name of the factor, such as `totp` or `passkey`. No text of a user: mails contain it. */
  readonly method: string
  /** Default: `second-factor`. */
  readonly kind?: 'second-factor' | 'passkey'
}

/** The second factors of users over all features. */
export interface SecondFactorService {
  /** Returns the number of active second factors of a user. Recovery codes do not count. */
  count(user: User): Promise<number>
  /**
   * Returns true if the login must present a second factor: the user has one, the methods so far do not prove two
   * factors already, and the browser is not trusted. The value is read from the store when the step begins. Use it in
   * `needed` of a login step of the group `second-factor`.
   */
  isNeeded(attempt: LoginAttempt): Promise<boolean>
  /**
   * Returns true if the login must add a second factor: the option `secondFactors.required` demands one, the user has
   * none, and the methods so far do not prove two factors already. It is the `needed` of a login step that adds a
   * factor, which has the group `second-factor` and returns `added` from `verify`.
   */
  mustEnrol(attempt: LoginAttempt): Promise<boolean>
  /**
   * Ends what a change of the factors makes invalid. Call it after a factor was added or removed outside of a login.
   * The other sessions, the refresh tokens and the pending logins of the user end. The session of the request continues
   * with a new cookie, also if the change fails, as far as the store works. A bearer token continues after an addition
   * if all strategies store their sessions, and ends with a removal. Fires `onLoginMethodAdded` or
   * `onLoginMethodRemoved`, which the feature lists in `events`, and emits the audit event `factor.add` or
   * `factor.remove`. Returns the user with the new security stamp. If the sessions of the user were revoked since `row`
   * was read, calls `undo` of an added factor and throws `FST_USERS_UNAUTHENTICATED`; the request of a user then does
   * not call `remove` of a removed factor.
   */
  changed(row: UserRow, change: SecondFactorChange): Promise<UserRow>
}
