import type { MaybePromise } from './database-adapter.js'
import type { User, UserRow } from './user.js'

/** A login method or a second factor that a user added or removed. */
export type LoginMethodChange = {
  user: User
  /** A second factor is needed in addition to a login method, and is not enough to log in. */
  kind: 'provider' | 'passkey' | 'second-factor'
  /** Name of the method for the user, such as the name of the provider. */
  method: string
}

declare module './events.js' {
  interface UsersEvents {
    /** After a user added a login method or a second factor. Features that store some fire it. */
    onLoginMethodAdded: LoginMethodChange
    /** After a user removed a login method or a second factor. */
    onLoginMethodRemoved: LoginMethodChange
  }
}

/** Names of the events of login methods and second factors, for `events` of the features that store some. */
export const factorEvents = ['onLoginMethodAdded', 'onLoginMethodRemoved'] as const

/**
 * The login methods that a feature stores for users, such as provider accounts or passkeys. A login method is enough to
 * log in. A second factor is not a login method.
 */
export interface LoginMethods {
  /** Returns the number of login methods that the feature stores for the user. */
  count(user: User): MaybePromise<number>
  /**
   * Deletes the login methods that did not prove the mailbox `user.email` themselves, after the user proved it. Another
   * person may have added them. Returns the number of deleted ones.
   */
  removeUnproved?(user: User, proof: MailboxProof): MaybePromise<number>
  /** Deletes all login methods of the user, before the user is deleted. Returns the number of deleted ones. */
  removeAll?(user: User): MaybePromise<number>
}

/** A proof of the mailbox of a user. */
export interface MailboxProof {
  /** The user had proved another e-mail before. */
  readonly wasVerified: boolean
  /** The proof replaces the password: nothing of the registration stays. */
  readonly replacesPassword: boolean
  /**
   * Second factors, recovery codes and passkeys that were added at this time or later may belong to an attacker, and
   * are deleted. The start of 1970 stands for all of them, null for none: they stay when a verified user resets a
   * password.
   */
  readonly untrustedSince: Date | null
}

/** The removal of one login method by its user. */
export interface LoginMethodRemoval {
  /** Deletes the login method. Returns the number of deleted rows: 0 if it no longer exists. */
  remove(): Promise<number>
  /** Stores the deleted login method again, unchanged. */
  restore(): Promise<unknown>
  /** Creates the error for a login method that is the only one of its user. */
  refusal(): Error
}

/** The login methods of users: the password, and those of all features. */
export interface LoginMethodsService {
  /** Returns true if the user can log in with a password. */
  hasPassword(row: UserRow): boolean
  /** Returns the number of login methods of a user: 1 for a password, and those of all features. */
  count(row: UserRow): Promise<number>
  /**
   * Removes a login method of a user unless it is the only one. After the removal, the remaining methods are counted;
   * if none is left, the removed one is restored. So parallel removals, also by different features, always leave one
   * method. Returns false if the method no longer exists. Throws `refusal()` for the only method, and
   * `FST_USERS_UNAUTHENTICATED` if the sessions of the user were revoked since `row` was read.
   */
  removeOne(row: UserRow, removal: LoginMethodRemoval): Promise<boolean>
}
