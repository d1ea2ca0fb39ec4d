import type { InsecureSetting, Settings } from '../contracts/settings.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import { checked } from './options.js'

const DAY_SECONDS = 86_400

/** The longest session: people authenticate again after 30 days at the latest (NIST SP 800-63B-4, section 2.1.3). */
export const MAX_SESSION_SECONDS = 30 * DAY_SECONDS

/**
 * The longest reset token: it opens the account, and lies in a mailbox (OWASP Forgot Password Cheat Sheet:
 * short-lived).
 */
export const MAX_RESET_SECONDS = DAY_SECONDS

/**
 * The longest verify token: activation codes expire after a short time (OWASP ASVS 5.0, 6.4.1); a week covers a
 * holiday.
 */
export const MAX_VERIFY_SECONDS = 7 * DAY_SECONDS

/** Permission bits of a database file that let every account of the machine read or write it (`chmod o=`). */
export const OTHERS_BITS = 0o007

/** What `allowInsecure` may name. */
const INSECURE_SETTINGS: readonly InsecureSetting[] = ['longSessions', 'longTokens', 'plainCookies', 'readableDatabase']

type Allowed = Pick<Settings, 'allowInsecure'>

/** Returns the settings that `allowInsecure` names. Throws `FST_USERS_INVALID_OPTION`. */
export function readAllowInsecure (names: readonly InsecureSetting[] = []): ReadonlySet<InsecureSetting> {
  const isKnown = (list: readonly InsecureSetting[]): boolean =>
    Array.isArray(list) && list.every((name) => INSECURE_SETTINGS.includes(name))
  return new Set(
    checked(
      'allowInsecure',
      names,
      isKnown,
      `must be a list of ${INSECURE_SETTINGS.map((name) => `'${name}'`).join(', ')}`
    )
  )
}

/**
 * Throws `FST_USERS_INVALID_OPTION` for a number of seconds above the limit, unless `allowInsecure` names the setting.
 */
export function checkSeconds (
  option: string,
  seconds: number,
  most: number,
  { allowInsecure }: Allowed,
  setting: InsecureSetting
): void {
  if (seconds <= most || allowInsecure.has(setting)) return
  throw FST_USERS_INVALID_OPTION([
    option,
    `is ${seconds} seconds, more than the limit of ${most}; shorten it, or accept the risk with allowInsecure: ['${setting}']`
  ])
}

/** Throws `FST_USERS_INVALID_OPTION` in production for a cookie without `Secure`, unless `allowInsecure` names it. */
export function checkSecureCookie (option: string, secure: boolean, { allowInsecure }: Allowed): void {
  if (secure || process.env.NODE_ENV !== 'production' || allowInsecure.has('plainCookies')) return
  throw FST_USERS_INVALID_OPTION([
    option,
    "must not be false when NODE_ENV is production: the cookie would travel over plain http; leave it out, or accept the risk with allowInsecure: ['plainCookies']"
  ])
}
