import type { User } from '../../feature/index.js'

/** The state of a user's authenticator app. */
export interface TotpState {
  active: boolean
  /** Time of the enrolment in the form of RFC 3339; null if there is none. */
  since: string | null
}

/** The secret for an authenticator app, in three forms. */
export interface TotpSecret {
  /** The secret in Base32 (RFC 4648), for typing. */
  secret: string
  /** The URL `otpauth://totp/…` with the secret, which authenticator apps read. */
  url: string
  /** A QR code with the URL, as an SVG image. */
  svg: string
}

/** The result of `app.users.feature('totp')`. */
export interface TotpApi {
  /** Returns whether the user has an authenticator app, and since when. */
  state(user: User): Promise<TotpState>
  /**
   * Checks a code of a user and uses it up. Returns false for a wrong code, for one that was used before, and for a
   * user without an authenticator app. Count the calls with `kit.attempts`, because codes can be guessed.
   */
  verify(user: User, code: string): Promise<boolean>
}
