import { PASSWORD_MAX_BYTES } from '../../schemas/common.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import { lazyCommonPasswords } from './common-passwords.js'

/** Options of `preparePassword`. */
export interface PreparePasswordOptions {
  /**
   * Whether the password is brought to Unicode's form NFC, so that it is the same from every keyboard. Default true.
   */
  normalize?: boolean
}

/** Options of `passwordPolicy`. */
export interface PasswordPolicyOptions {
  /** Least length in Unicode code points, from 8 to 256. Default 8. */
  minimumLength?: number
}

/** Returns the reason why the user may not have this password, or null. */
export type PasswordPolicy = (password: string, user: { email: string }) => Promise<string | null>

const LEAST_MINIMUM = 8
const MOST_MINIMUM = PASSWORD_MAX_BYTES / 4 // so long a password fits in every script

// argon2 would take every lone surrogate for the same character
const LONE_SURROGATE = /\p{Surrogate}/u

/**
 * The password as it is hashed, or null when it is ill-formed Unicode or longer than `PASSWORD_MAX_BYTES`. Nothing is
 * trimmed, folded or cut.
 */
export function preparePassword (password: string, { normalize = true }: PreparePasswordOptions = {}): string | null {
  // first the length: normalising takes quadratic time
  if (password.length > PASSWORD_MAX_BYTES || Buffer.byteLength(password) > PASSWORD_MAX_BYTES) return null
  if (LONE_SURROGATE.test(password)) return null
  return normalize ? password.normalize('NFC') : password
}

/**
 * Creates the rules for new passwords (NIST SP 800-63B, section 3.1.1.2): a least length, not the user's e-mail, not a
 * common password. Throws `FST_USERS_INVALID_OPTION`.
 *
 * ```ts
 * const policy = passwordPolicy({ minimumLength: 12 })
 * const validatePassword = async (password, user) =>
 *   await policy(password, user) ?? (password.includes('camelot') ? 'Do not use the name of the castle.' : null)
 * ```
 */
export function passwordPolicy ({ minimumLength = LEAST_MINIMUM }: PasswordPolicyOptions = {}): PasswordPolicy {
  if (!Number.isInteger(minimumLength) || minimumLength < LEAST_MINIMUM || minimumLength > MOST_MINIMUM) {
    throw FST_USERS_INVALID_OPTION(['minimumLength', `must be an integer from ${LEAST_MINIMUM} to ${MOST_MINIMUM}.`])
  }
  const isCommon = lazyCommonPasswords(LEAST_MINIMUM)

  return async (password, user) => {
    const text = preparePassword(password)
    if (text === null) return `Use well-formed text of at most ${PASSWORD_MAX_BYTES} bytes.`
    if ([...text].length < minimumLength) return `Use at least ${minimumLength} characters.`
    const folded = text.toLowerCase()
    if (isEmail(folded, user.email)) return 'Use something else than your e-mail address.'
    return (await isCommon(folded)) ? 'Use a password that is less common.' : null
  }
}

function isEmail (folded: string, email: string): boolean {
  const address = email.normalize('NFC').toLowerCase()
  return folded === address || folded === address.slice(0, address.lastIndexOf('@'))
}
