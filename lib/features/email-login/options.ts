import {
  checkKnownKeys,
  checkObject,
  checkOption,
  isFunction,
  type FeatureKit,
  type MaybePromise
} from '../../feature/index.js'

/** Options of `emailLogin`. */
export interface EmailLoginOptions {
  /** Contents of a mail: a link, a code of eight characters, or both. Default `both`. */
  send?: 'link' | 'code' | 'both'
  /** Seconds for which a mail can be used, 60 to 600, or to 3600 with `send: 'link'`. Default 600. */
  lifetimeSeconds?: number
  /**
   * Creates a user at the first login with an e-mail that no user has. A function returns the custom fields of the new
   * user; it is needed if one of them is required. Default false.
   */
  signUp?: boolean | ((email: string) => MaybePromise<Readonly<Record<string, unknown>>>)
  /** Names of the backends with the routes. Default: all backends. */
  backends?: readonly string[]
}

/** Checked options. */
export interface EmailLoginSettings {
  readonly hasLink: boolean
  readonly hasCode: boolean
  readonly lifetimeSeconds: number
  /** Returns the custom fields of a new user; null if logins create no users. */
  readonly signUp: ((email: string) => MaybePromise<Readonly<Record<string, unknown>>>) | null
}

const KEYS = ['send', 'lifetimeSeconds', 'signUp', 'backends'] satisfies (keyof EmailLoginOptions)[]
const MIN_SECONDS = 60
/** Longest lifetime of a code (OWASP ASVS 5.0, 6.5.5), and the default. */
const CODE_SECONDS = 600
const LINK_SECONDS = 3600

/** Checks the options. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`. */
export function resolveEmailLoginOptions (options: EmailLoginOptions): EmailLoginSettings {
  checkObject('emailLogin', options)
  checkKnownKeys('emailLogin.', options, KEYS)
  const { send = 'both', lifetimeSeconds = CODE_SECONDS, signUp = false } = options
  const isSend = (value: unknown): boolean => value === 'link' || value === 'code' || value === 'both'
  checkOption('emailLogin.send', send, isSend, "must be 'link', 'code' or 'both'")
  const max = send === 'link' ? LINK_SECONDS : CODE_SECONDS
  const isLifetime = (value: number): boolean => Number.isInteger(value) && value >= MIN_SECONDS && value <= max
  checkOption('emailLogin.lifetimeSeconds', lifetimeSeconds, isLifetime, `must be a whole number from 60 to ${max}`)
  const isSignUp = (value: unknown): boolean => typeof value === 'boolean' || isFunction(value)
  checkOption('emailLogin.signUp', signUp, isSignUp, 'must be true, false or a function')
  return {
    hasLink: send !== 'code',
    hasCode: send !== 'link',
    lifetimeSeconds,
    signUp: signUp === false ? null : signUp === true ? () => ({}) : signUp
  }
}

/** Returns the names of the backends with the routes. Throws `FST_USERS_INVALID_OPTION`. */
export function readLoginBackends ({ backends }: EmailLoginOptions, { users }: FeatureKit): readonly string[] {
  const all = [...users.backends.keys()]
  const isList = (value: unknown): boolean =>
    Array.isArray(value) && value.length > 0 && value.every((name) => all.includes(name as string))
  return checkOption('emailLogin.backends', backends ?? all, isList, `must list backends: ${all.join(', ')}`)
}
