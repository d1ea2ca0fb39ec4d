import type { User } from '../../feature/index.js'

/** A passkey of a user: a WebAuthn credential (WebAuthn Level 3, section 4). */
export interface Passkey {
  id: string
  /** Name that the user chose. */
  name: string
  /** Id of the credential in base64url, for the signal methods of browsers (WebAuthn Level 3, section 5.1.10). */
  credential_id: string
  /** `multi_device`: the passkey can be copied to other devices. `single_device`: it stays in its authenticator. */
  device_type: 'single_device' | 'multi_device'
  /** The passkey is backed up, for example by the account of the device's manufacturer. */
  backed_up: boolean
  /** Ways in which the browser reaches the authenticator, such as `internal`, `hybrid` and `usb`. */
  transports: string[]
  /**
   * The authenticator has verified its user with a PIN or a biometric characteristic. Only such a passkey is a login
   * method; any other one is only a second factor.
   */
  verifies_user: boolean
  /** Time of the registration in the form of RFC 3339. */
  created_at: string
  /** Time of the last use in the form of RFC 3339; null before the first use. */
  last_used_at: string | null
}

/** The result of `app.users.feature('passkeys')`. */
export interface PasskeysApi {
  /** Returns the passkeys of a user, the oldest first. */
  list(user: User): Promise<Passkey[]>
  /** Changes the name of a passkey. Throws `FST_USERS_PASSKEY_NOT_FOUND`, `FST_USERS_PASSKEY_NAME_INVALID`. */
  rename(user: User, id: string, name: string): Promise<Passkey>
  /**
   * Deletes a passkey, ends the sessions of the user, and fires `onLoginMethodRemoved`. Throws
   * `FST_USERS_PASSKEY_NOT_FOUND`, and `FST_USERS_PASSKEY_LAST_LOGIN_METHOD` if the user could no longer log in.
   */
  remove(user: User, id: string): Promise<void>
}
