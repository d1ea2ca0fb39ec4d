import type { InsecureSetting, Settings } from '../contracts/settings.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import { checkOption } from './option-checks.js'

const DAY_SECONDS = 86_400

/** Longest lifetime of a session: users authenticate again within 30 days (NIST SP 800-63B-4, section 2.1.3). */
export const MAX_SESSION_SECONDS = 30 * DAY_SECONDS

/**
 * Longest lifetime of a reset token. The token gives access to the account and lies in a mailbox, so it must expire
 * soon (OWASP Forgot Password Cheat Sheet).
 */
export const MAX_RESET_SECONDS = DAY_SECONDS

/**
 * Longest lifetime of a verify token. Activation codes expire after a short time (OWASP ASVS 5.0, 6.4.1); a week allows
 * for a holiday.
 */
export const MAX_VERIFY_SECONDS = 7 * DAY_SECONDS

/** Longest lifetime of a token that undoes an e-mail change. It gives the account to the previous mailbox. */
export const MAX_UNDO_SECONDS = 30 * DAY_SECONDS

/** Permission bits that let every account of the machine read or write a file. `chmod o=` removes them. */
export const OTHER_ACCOUNTS_MODE = 0o007

/** Values of `allowInsecure`. */
const INSECURE_SETTINGS: readonly InsecureSetting[] = ['longSessions', 'longTokens', 'plainCookies', 'readableDatabase']

type Allowed = Pick<Settings, 'allowInsecure'>

/** Returns the settings that `allowInsecure` lists. Throws `FST_USERS_INVALID_OPTION`. */
export function readAllowInsecure (names: readonly InsecureSetting[] = []): ReadonlySet<InsecureSetting> {
  const isKnown = (list: readonly InsecureSetting[]): boolean =>
    Array.isArray(list) && list.every((name) => INSECURE_SETTINGS.includes(name))
  return new Set(
    checkOption(
      'allowInsecure',
      names,
      isKnown,
      `must be a list of ${INSECURE_SETTINGS.map((name) => `'${name}'`).join(', ')}`
    )
  )
}

/** Throws `FST_USERS_INVALID_OPTION` for more seconds than `maxSeconds`, unless `allowInsecure` lists the setting. */
export function checkSeconds (
  option: string,
  seconds: number,
  maxSeconds: number,
  { allowInsecure }: Allowed,
  setting: InsecureSetting
): void {
  if (seconds <= maxSeconds || allowInsecure.has(setting)) return
  throw FST_USERS_INVALID_OPTION([
    option,
    `is ${seconds} seconds, more than the limit of ${maxSeconds}; shorten it, or accept the risk with allowInsecure: ['${setting}']`
  ])
}

/** Throws `FST_USERS_INVALID_OPTION` in production for a cookie without `Secure`, unless `plainCookies` is allowed. */
export function checkSecureCookie (option: string, secure: boolean, { allowInsecure }: Allowed): void {
  if (secure || process.env.NODE_ENV !== 'production' || allowInsecure.has('plainCookies')) return
  throw FST_USERS_INVALID_OPTION([
    option,
    "must not be false when NODE_ENV is production: the cookie would travel over plain http; leave it out, or accept the risk with allowInsecure: ['plainCookies']"
  ])
}
