import { PASSWORD_MAX_BYTES } from '../../schemas/common.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import { isCommonPassword } from './common-passwords.js'

/** Options of `preparePassword`. */
export interface PreparePasswordOptions {
  /**
   * Normalizes the password to Unicode NFC, so that it is the same from every keyboard. Default true.
   */
  normalize?: boolean
}

/** Options of `passwordPolicy`. */
export interface PasswordPolicyOptions {
  /** Minimum length in Unicode code points, from 8 to 256. Default 8. */
  minimumLength?: number
}

/** Returns the reason why the password is refused, or null. */
export type PasswordPolicy = (password: string, user: { email: string }) => Promise<string | null>

const MIN_LENGTH = 8
const MAX_MINIMUM_LENGTH = PASSWORD_MAX_BYTES / 4 // a code point has at most 4 bytes in UTF-8

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

/**
 * Creates a policy for new passwords (NIST SP 800-63B, section 3.1.1.2): a minimum length, not the user's e-mail, not a
 * common password. Throws `FST_USERS_INVALID_OPTION`.
 *
 * ```ts
 * const policy = passwordPolicy({ minimumLength: 12 })
 * const validatePassword = async (password, user) =>
 *   await policy(password, user) ?? (password.includes('camelot') ? 'Do not use the name of the castle.' : null)
 * ```
 */
export function passwordPolicy ({ minimumLength = MIN_LENGTH }: PasswordPolicyOptions = {}): PasswordPolicy {
  if (!Number.isInteger(minimumLength) || minimumLength < MIN_LENGTH || minimumLength > MAX_MINIMUM_LENGTH) {
    throw FST_USERS_INVALID_OPTION(['minimumLength', `must be an integer from ${MIN_LENGTH} to ${MAX_MINIMUM_LENGTH}.`])
  }

  return async (password, user) => {
    const text = preparePassword(password)
    if (text === null) return `Use well-formed text of at most ${PASSWORD_MAX_BYTES} bytes.`
    if ([...text].length < minimumLength) return `Use at least ${minimumLength} characters.`
    const folded = text.toLowerCase()
    if (isEmailOrLocalPart(folded, user.email)) return 'Do not use your e-mail as the password.'
    return (await isCommonPassword(folded, MIN_LENGTH)) ? 'Use a password that is less common.' : null
  }
}

function isEmailOrLocalPart (folded: string, email: string): boolean {
  const foldedEmail = email.normalize('NFC').toLowerCase()
  return folded === foldedEmail || folded === foldedEmail.slice(0, foldedEmail.lastIndexOf('@'))
}
