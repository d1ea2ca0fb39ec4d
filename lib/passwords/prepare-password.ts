import { PASSWORD_MAX_BYTES } from '../../schemas/common.js'

/** Options of `preparePassword`. */
export interface PreparePasswordOptions {
  /**
   * Normalizes the password to Unicode NFC, so that it is the same from every keyboard. Default true.
   */
  normalize?: boolean
}

// UTF-8 encoding replaces every lone surrogate by the same character, so different passwords would match
const LONE_SURROGATE = /\p{Surrogate}/u

/**
 * Returns the password in the form that is hashed, or null if it is ill-formed Unicode or longer than
 * `PASSWORD_MAX_BYTES`. The password is never trimmed, changed in case or truncated.
 */
export function preparePassword (password: string, { normalize = true }: PreparePasswordOptions = {}): string | null {
  // the length comes first because normalizing takes quadratic time
  if (password.length > PASSWORD_MAX_BYTES || Buffer.byteLength(password) > PASSWORD_MAX_BYTES) return null
  if (LONE_SURROGATE.test(password)) return null
  return normalize ? password.normalize('NFC') : password
}
