import type { UserDependents } from './external-user.js'
import type { User } from './user.js'
import type { CallContext } from './users-api.js'

/** The e-mail of a new user or, with `registration: 'mail'`, the mailed token. */
export type RegistrationStart = { readonly email: string } | { readonly token: string }

/** The values of a new user: the e-mail that `begin` returned, and custom fields. */
export interface PasswordlessValues {
  readonly email: string
  readonly [field: string]: unknown
}

/** The values that complete a registration, besides those of the user. */
export interface PasswordlessRegistration {
  /** The mailed token of a registration by mail; otherwise null. */
  readonly token?: string | null
  /** Rows that are stored together with the user, such as a passkey. */
  readonly dependents: UserDependents
  /**
   * Creates the error for a dependent row that exists already. With `revealExistingAccounts: false` it is not thrown,
   * because it would show that the e-mail is not taken: check for such rows before, for every e-mail.
   */
  readonly duplicate: () => Error
}

/** Registers persons who have another login method than a password, by the rules of the registration routes. */
export interface PasswordlessRegistrations {
  /**
   * Begins a registration and returns its e-mail. Begins the attempt `register`; with `registration: 'mail'` it begins
   * `beginRegistration`, and reads the mailed token without using it up. Throws `FST_USERS_INVALID_USER`,
   * `FST_USERS_REGISTER_BAD_TOKEN`, and the errors of attempts.
   */
  begin(start: RegistrationStart, context: CallContext): Promise<string>
  /**
   * Stores the user with the dependent rows. The fields are those that users may write themselves. With
   * `registration: 'mail'`, uses the token up, and the e-mail is verified. Fires `onBeforeRegister` and
   * `onAfterRegister`. Returns null with `revealExistingAccounts: false`: then the reply must be the same for every
   * e-mail, and the hooks run after it. Throws `FST_USERS_INVALID_USER`, `FST_USERS_REGISTER_USER_ALREADY_EXISTS`,
   * `FST_USERS_REGISTER_BAD_TOKEN`, and `duplicate()`.
   */
  complete(
    values: PasswordlessValues,
    registration: PasswordlessRegistration,
    context: CallContext
  ): Promise<User | null>
}
